"""Exit codes: a script can tell a failed command from a failed job.

====  ==============================================================================
0     done; a job that was waited for completed (whatever its program's exit code)
1     the command failed: refused, not found, no server, cannot write
2     the command line is wrong
3     the job failed
4     the job was stopped
5     the job is not over after ``--wait-timeout-secs``; it goes on
130   interrupted with Ctrl-C; a job that was already submitted goes on
141   whoever read the output has closed it (``| head``), as a program ends that SIGPIPE kills; a job goes on
====  ==============================================================================
"""

from __future__ import annotations

from bacalhau_nats.errors import WrongArgument

OK = 0
FAILED = 1
USAGE = 2
JOB_FAILED = 3
JOB_STOPPED = 4
WAITED_TOO_LONG = 5
INTERRUPTED = 130
READER_GONE = 141

BY_JOB_STATE = {"Completed": OK, "Failed": JOB_FAILED, "Stopped": JOB_STOPPED}


class WrongFlags(WrongArgument):
    """A flag's value cannot be read: the command line is wrong, not the job."""
