/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A path that is found lies inside the text, begins with a slash, ends at a line's end and climbs
 * nowhere. The unit of a path has a name systemd could have, its parts lie in the path one behind
 * the other, and nothing below the unit changes the answer. The input is a text; its paths, and the
 * text itself, are also taken as paths.
 */

#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "wire/cgtext.h"

static bool names_differ(const CgUnit *a, const CgUnit *b) {
        return a->n_name != b->n_name || memcmp(a->name, b->name, a->n_name) != 0;
}

static void check_unit(const char *path) {
        size_t n = strlen(path), n_deeper = n + sizeof "/evil.service";
        char *deeper = malloc(n_deeper);
        CgContainer container;
        CgUnit unit, below;
        int r;

        if (!deeper)
                abort();
        if (cgtext_container(path, &container) == 0) {
                fuzz_claim(container.service
                                   ? container.n_id > 0 && !memchr(container.id, '/', container.n_id)
                                   : container.n_id >= 12 &&
                                             strspn(container.id, "0123456789abcdef") >= container.n_id);
                fuzz_claim(container.id > path && container.id + container.n_id <= path + n);
        }
        r = cgtext_unit(path, &unit);
        fuzz_claim((r == 0) == (unit.kind != CG_UNIT_NONE));
        fuzz_claim(unit.leaf + unit.n_leaf == path + n);
        fuzz_claim(unit.leaf == path + unit.n_path);
        if (r == 0) {
                fuzz_claim(unit.n_name > strlen(".scope") && unit.n_name <= 255);
                fuzz_claim(unit.name + unit.n_name == path + unit.n_path);
                fuzz_claim(!memchr(unit.name, '/', unit.n_name));
                fuzz_claim(unit.n_leaf == 0 || unit.leaf[0] == '/');
                fuzz_claim(unit.user || unit.owner == 0);
        }

        memcpy(deeper, path, n);
        memcpy(deeper + n, "/evil.service", n_deeper - n);
        if (r == 0 && (unit.kind != CG_UNIT_MANAGER || !unit.user)) {
                fuzz_claim(cgtext_unit(deeper, &below) == 0);
                fuzz_claim(below.kind == unit.kind && below.n_path == unit.n_path);
                fuzz_claim(below.owner == unit.owner && !names_differ(&unit, &below));
        }
        fuzz_claim(cgtext_is_below(deeper, path));
        fuzz_claim(cgtext_is_below(path, path));
        fuzz_claim(path[0] != '/' || cgtext_is_below(path, "/"));
        free(deeper);
}

static void check_path(const char *text, size_t size, const char *path, size_t n) {
        char *copy;

        fuzz_claim(n > 0 && path[0] == '/');
        fuzz_claim(path >= text && path + n <= text + size);
        fuzz_claim(path + n == text + size || path[n] == '\n');
        fuzz_claim(!memchr(path, '\n', n));
        fuzz_claim(!memmem(path, n, "/../", 4));
        fuzz_claim(n < 3 || memcmp(path + n - 3, "/..", 3) != 0);
        copy = fuzz_string(path, n);
        check_unit(copy);
        free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const controllers[] = { "memory", "name=systemd", "cpu" };
        const char *text = (const char *)data, *path;
        CgOom oom = { 1, 1 };
        char *copy;
        size_t n;

        if (cgtext_path(text, size, &path, &n) == 0)
                check_path(text, size, path, n);
        for (size_t i = 0; i < sizeof controllers / sizeof controllers[0]; i++)
                if (cgtext_v1_path(text, size, controllers[i], &path, &n) == 0)
                        check_path(text, size, path, n);
        if (cgtext_oom(text, size, &oom) == 0)
                fuzz_claim(memmem(text, size, "oom", 3));
        else
                fuzz_claim(oom.oom == 1 && oom.oom_kill == 1);

        copy = fuzz_string(text, size);
        check_unit(copy);
        free(copy);
        return 0;
}
