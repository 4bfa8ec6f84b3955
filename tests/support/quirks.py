"""Peculiarities of Bacalhau's command line, and what became of each here: the last table of ``docs/compatibility.md``."""

from __future__ import annotations

from typing import NamedTuple


class Quirk(NamedTuple):
    """What Bacalhau 1.9 does, whether it is kept, and how it is here or why."""

    bacalhau: str
    kept: bool
    here: str


QUIRKS = (
    Quirk(
        "A job that fails, is stopped or takes too long ends a command with exit code 0; a wrong command line with 1",
        kept=False,
        here="A script must see it: 3 failed, 4 stopped, 5 not over in time, 2 wrong command line, 1 any other failure. "
        "What a program inside a job returns is not the command's exit code, as with Bacalhau.",
    ),
    Quirk(
        "`--wait-timeout-secs` is read and ignored; every wait ends after five minutes",
        kept=False,
        here="It is the time that is waited; 0 is for ever.",
    ),
    Quirk(
        "Colours, a moving picture and its escape codes go into pipes and files",
        kept=False,
        here="Only to a terminal. `NO_COLOR`, `TERM=dumb` and `--no-style` switch them off, `FORCE_COLOR` on.",
    ),
    Quirk(
        "Log and migration lines, progress and hints stand on stdout among the data",
        kept=False,
        here="stdout has the data, stderr the rest; `--quiet` leaves only errors there.",
    ),
    Quirk(
        "`job list --order-by id` is advertised and refused by the server",
        kept=False,
        here="It is not advertised; what the server does not know is refused before it is asked.",
    ),
    Quirk(
        "The hint for the next page follows JSON and CSV on stdout, without the other flags",
        kept=False,
        here="It is on stderr and repeats every flag that was given.",
    ),
    Quirk(
        "`job logs` writes a job's stderr to stdout",
        kept=False,
        here="Each stream comes out of the one it went into.",
    ),
    Quirk(
        "`job logs` shows nothing of a job whose executions all failed",
        kept=False,
        here="It shows the newest of them, and says which one that is.",
    ),
    Quirk(
        "`job describe` comments each completed execution with `Running`",
        kept=False,
        here="There is no comment, or the exit code when it is not 0.",
    ),
    Quirk(
        "An execution of an ops or daemon job is shown as `New` while it runs",
        kept=False,
        here="`Running`, with a server of bacalhau-nats; another one does not say.",
    ),
    Quirk(
        "`job get JOB/PATH` fetches everything of results that nodes serve themselves; fetching again into the same folder fails",
        kept=False,
        here="It fetches that file, from every kind of result, and may be repeated.",
    ),
    Quirk(
        "`job validate` reads neither stdin nor templates",
        kept=False,
        here="It reads what `job run` reads.",
    ),
    Quirk(
        "`job describe --output json | job run` stands in the help and cannot work",
        kept=True,
        here="A job file holds a job alone, and what the server sets (id, state, version) is refused in it. No help shows it; `job rerun` runs a job again.",
    ),
    Quirk(
        "`config set` writes all keys in lower case and loses comments",
        kept=False,
        here="Comments, order and spelling of the file stay.",
    ),
    Quirk(
        "A profile that does not exist is passed over, and the local server is asked; a profile's time limit is not used",
        kept=False,
        here="The first is an error; the second is used.",
    ),
    Quirk(
        "The globs of `Compute.AllowListedLocalPaths` are regular expressions under another name",
        kept=False,
        here="They are globs: `*` stays within a name, `**` does not.",
    ),
    Quirk(
        "A flag beats the environment, though the help says the contrary",
        kept=True,
        here="Defaults, files, environment, then flags and `-c`: later wins; a flag and `-c` for the same key are an error. "
        "The help claims nothing else.",
    ),
    Quirk(
        "`node approve`, `reject` and `delete` exit with 0 when the server says that it did not do it",
        kept=False,
        here="Exit code 1, with the server's reason.",
    ),
    Quirk(
        "The summary of `job describe` does not count executions that were cancelled",
        kept=False,
        here="It counts every state.",
    ),
    Quirk(
        "`RunOutput.stderr` and `ComputeNodeInfo.address` are spelled in lower case among PascalCase names",
        kept=True,
        here="Programs read them so.",
    ),
    Quirk(
        "`StrictVersionMatch`, `ResultDownloaders.Timeout` and `Compute.Heartbeat.ResourceUpdateInterval` do nothing",
        kept=True,
        here="They are accepted, do nothing, and `config list`, `config validate` and the start of a node say so.",
    ),
    Quirk(
        "Each command looks for updates, and a node reports its use, unless told not to",
        kept=False,
        here="Neither is done: only the server is asked, its identity provider at a login, and where results lie. The "
        "keys are accepted.",
    ),
    Quirk(
        "A group of commands answers a word it does not know with its help and exit code 0",
        kept=False,
        here="It is an error (2), with what was perhaps meant; so is a group of columns that `node list --show` does not have.",
    ),
    Quirk(
        "`--output table` is taken where there is no table, and fails when the answer is there",
        kept=False,
        here="It is refused before anybody is asked.",
    ),
    Quirk(
        "A list in an environment variable is one item, whatever commas it has",
        kept=False,
        here="It is read as on the command line.",
    ),
    Quirk(
        "`devstack` can start nodes that fail on purpose (`--bad-computes`) and write profiles of itself",
        kept=False,
        here="The flags are taken, and said to have no effect. `--compute-nodes`, `--requester-nodes` and `--hybrid-nodes` "
        "work as there.",
    ),
    Quirk(
        "The IPFS flags that `get` had up to 1.3 (`--ipfs-swarm-key` and the like) are unknown",
        kept=False,
        here="`job get` takes them, as pages still show them, and says that they have no effect. `--ipfs-connect` names "
        "the IPFS node to fetch from.",
    ),
)

HEAD = """
## Command line

| Bacalhau 1.9 | Here | How, or why |
|---|---|---|
"""


def table() -> str:
    """Write the section of the page."""
    rows = ((q.bacalhau, "kept" if q.kept else "mended", q.here) for q in QUIRKS)
    return HEAD + "".join("| " + " | ".join(_cell(text) for text in row) + " |\n" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
