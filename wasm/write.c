/* write PATH TEXT: writes a file; its errors are on stderr and in the exit code. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: write PATH TEXT\n"), 2;
    FILE *file = fopen(argv[1], "wb");
    if (!file || fputs(argv[2], file) < 0 || fclose(file)) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    return 0;
}
