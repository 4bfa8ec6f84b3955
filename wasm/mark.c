/* mark FOLDER [SECONDS]: adds the line $MARK_NODE to FOLDER/$BACALHAU_EXECUTION_ID, waits, says "done". A file
   with two lines was started twice. No stdio: the module stays small enough to travel inside a job. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int say(int file, const char *text) { return write(file, text, strlen(text)) < 0; }

int main(int argc, char **argv) {
    const char *execution = getenv("BACALHAU_EXECUTION_ID"), *node = getenv("MARK_NODE");
    if (argc < 2 || !execution) return say(2, "usage: mark FOLDER [SECONDS], as an execution\n"), 2;
    char path[4096] = "", line[256] = "";
    strlcpy(path, argv[1], sizeof path);
    strlcat(path, "/", sizeof path);
    strlcat(path, execution, sizeof path);
    strlcpy(line, node ? node : "?", sizeof line - 1);
    strlcat(line, "\n", sizeof line);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0 || say(file, line) || close(file)) return say(2, "the mark cannot be written\n"), 1;
    if (argc > 2) usleep(atof(argv[2]) * 1e6);
    return say(1, "done\n");
}
