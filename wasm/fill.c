/* fill BYTES [LINE]: prints that many bytes as fast as they are taken, in lines of LINE bytes (64), each
   beginning with its number. LINE 0: one line without an end. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    long long left = argc > 1 ? atoll(argv[1]) : 1 << 20, line = argc > 2 ? atoll(argv[2]) : 64, number = 0;
    static char buffer[65536];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (; left > 0; left -= line ? line : left) {
        if (!line) {
            for (long long i = 0; i < left; i++) putchar('x');
            break;
        }
        int used = printf("%lld ", number++);
        for (long long i = used; i < line - 1; i++) putchar('x');
        putchar('\n');
    }
    return 0;
}
