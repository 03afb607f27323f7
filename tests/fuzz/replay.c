/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Feeds every file of a corpus to the fuzz target it is linked with, and one empty input. This is
 * what the fuzz targets are in a normal build; with -Dfuzzers=true libFuzzer takes this place.
 *
 * The input lies in memory of exactly its size, so that a sanitizer sees a read of one byte too
 * many. A target that is not content aborts; the name of the file was printed before.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "fuzz.h"

#define INPUT_MAX (1024U * 1024U)
#define EXIT_SKIPPED 77

static void replay(const char *data, size_t size) {
        _cleanup_free_ uint8_t *exact = malloc(size);

        if (!exact && size > 0)
                abort();
        if (size > 0)
                memcpy(exact, data, size);
        (void)LLVMFuzzerTestOneInput(exact ? exact : (const uint8_t *)"", size);
}

static int is_input(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

static int replay_directory(const char *path, unsigned *n_files) {
        struct dirent **entries;
        int n, failed = 0;

        n = scandir(path, &entries, is_input, alphasort);
        if (n < 0)
                return errno == ENOENT ? 0 : -errno;

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *name = NULL, *text = NULL;
                size_t size;
                int r;

                if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
                        abort();
                free(entries[i]);
                (void)printf("%s\n", name);
                (void)fflush(stdout);
                r = fd_read_file(AT_FDCWD, name, INPUT_MAX, &text, &size);
                if (r < 0) {
                        failed = r;
                        continue;
                }
                replay(text, size);
                (*n_files)++;
        }
        free(entries);
        return failed;
}

int main(int argc, char **argv) {
        unsigned n_files = 0;

        replay("", 0);
        for (int i = 1; i < argc; i++) {
                int r = replay_directory(argv[i], &n_files);

                if (r < 0) {
                        (void)fprintf(stderr, "Cannot read %s: %s\n", argv[i], strerror(-r));
                        return EXIT_FAILURE;
                }
        }
        (void)printf("%u inputs\n", n_files);
        return n_files > 0 ? EXIT_SUCCESS : EXIT_SKIPPED;
}
