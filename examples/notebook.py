"""Without ``await``, as in the cells of a notebook, where an event loop runs already. Run it from the root."""

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from bacalhau_nats.client import SyncClient, inline, wasm

client = SyncClient()
[node["Info"]["NodeID"] for node in client.nodes()]

# %%
text = inline("the quick brown fox jumps over the lazy dog\n", "/in/text")
job = client.submit(wasm("wasm/built/count.wasm", "/in/text", "/out", inputs=[text], outputs=["out:/out"]))
job

# %%
job.wait(timeout=60)

# %%
with TemporaryDirectory() as folder:
    job.results(folder)
    print(Path(folder, "out", "counts.csv").read_text())

# %%
client.close()
