/* sleep SECONDS [INTERVAL_MS]: prints a line at each interval (1 s) until the time is over. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    int interval = argc > 2 ? atoi(argv[2]) : 1000;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i * interval < seconds * 1000; i++) {
        printf("tick %d\n", i);
        usleep(interval * 1000);
    }
    puts("done");
    return 0;
}
