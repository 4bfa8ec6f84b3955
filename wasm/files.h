/* What the examples share: walking a folder in sorted order. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Gives the number of entries of `folder`, their paths in `*paths`, sorted; -1 when it is not a folder. */
static int list_folder(const char *folder, char ***paths) {
    DIR *dir = opendir(folder);
    if (!dir) return -1;
    int count = 0, room = 16;
    char **found = malloc(room * sizeof *found);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (count == room) found = realloc(found, (room *= 2) * sizeof *found);
        found[count] = malloc(strlen(folder) + strlen(entry->d_name) + 2);
        sprintf(found[count++], "%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    qsort(found, count, sizeof *found, by_name);
    *paths = found;
    return count;
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}
