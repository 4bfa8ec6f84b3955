/* hello [WORD...]: its arguments and environment to stdout, a greeting to stderr. */
#include <stdio.h>

extern char **environ;

int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("arg %d: %s\n", i, argv[i]);
    for (char **pair = environ; *pair; pair++) printf("env: %s\n", *pair);
    fprintf(stderr, "hello from %s\n", argv[0]);
    return 0;
}
