/* alloc MIB: takes that much memory, 1 MiB at a time, touching it; says how far it came. Exit code 1 when it
   was less. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int wanted = argc > 1 ? atoi(argv[1]) : 1, got = 0;
    for (; got < wanted; got++) {
        char *volatile piece = malloc(1 << 20);
        if (!piece) break;
        memset(piece, 1, 1 << 20);
    }
    printf("%d MiB\n", got);
    return got < wanted;
}
