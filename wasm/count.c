/* count INPUT OUTPUT: counts the words of a file or of each file in a folder; OUTPUT/counts.csv has a line
   `file,words` for each. */
#include <ctype.h>

#include "files.h"

static long words_of(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return -1;
    long words = 0;
    int c, inside = 0;
    while ((c = getc(file)) != EOF) {
        words += !isspace(c) && !inside;
        inside = !isspace(c);
    }
    fclose(file);
    return words;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: count INPUT OUTPUT\n"), 2;
    char **paths, *single[] = {argv[1]}, name[4096];
    int count = list_folder(argv[1], &paths);
    if (count < 0) paths = single, count = 1;
    snprintf(name, sizeof name, "%s/counts.csv", argv[2]);
    FILE *report = fopen(name, "wb");
    if (!report) return fail(name);
    fputs("file,words\n", report);
    for (int i = 0; i < count; i++) {
        long words = words_of(paths[i]);
        if (words < 0) return fail(paths[i]);
        const char *base = strrchr(paths[i], '/');
        fprintf(report, "%s,%ld\n", base ? base + 1 : paths[i], words);
        printf("%s: %ld words\n", paths[i], words);
    }
    return fclose(report) ? fail(name) : 0;
}
