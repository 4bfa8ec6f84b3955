/* cat PATH...: files, and the files of folders in sorted order, to stdout. */
#include "files.h"

static int copy(const char *path) {
    char **inside;
    int count = list_folder(path, &inside), failed = 0;
    if (count >= 0) {
        for (int i = 0; i < count; i++) failed |= copy(inside[i]);
        return failed;
    }
    FILE *file = fopen(path, "rb");
    if (!file) return fail(path);
    static char buffer[65536];
    size_t size;
    while ((size = fread(buffer, 1, sizeof buffer, file))) fwrite(buffer, 1, size, stdout);
    fclose(file);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= copy(argv[i]);
    return failed;
}
