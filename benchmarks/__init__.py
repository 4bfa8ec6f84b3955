"""What bacalhau-nats costs, measured from outside: `python -m benchmarks all`.

Each figure starts its own nodes as processes (`bacalhau serve`, random ports, temporary folders), loads
them from another process, and ends them whatever happens. Every load is bounded in number and in time.

    figures    what is measured, in one module each; `figures.FIGURES` names them
    stand      starts and ends nodes
    load       the load generator, a process of its own
    machine    facts about this machine, CPU and memory of processes
    report     table, JSON, Markdown
"""
