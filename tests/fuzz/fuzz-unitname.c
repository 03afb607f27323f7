/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever the id, a scope's name is valid, and the id can be got back from it, so that two ids
 * never share one. An object path has only the letters the bus allows and leads back to its unit; a
 * slice's path ends in the slice itself.
 */

#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "wire/unitname.h"

static uint8_t from_hex(const char *p) {
        static const char digits[] = "0123456789abcdef";
        const char *high = p[0] ? strchr(digits, p[0]) : NULL, *low = NULL;

        if (high && p[1])
                low = strchr(digits, p[1]);
        fuzz_claim(low);
        return (uint8_t)((high - digits) * 16 + (low - digits));
}

/* Undoes an escaping by @mark and two digits, up to @end; true if the result is @expected. */
static bool means(const char *p, const char *end, const char *mark, const char *expected) {
        size_t n_mark = strlen(mark);

        while (p < end) {
                char c = *p++;

                if (c == mark[0]) {
                        fuzz_claim(strncmp(p - 1, mark, n_mark) == 0);
                        p += n_mark - 1;
                        c = (char)from_hex(p);
                        p += 2;
                }
                if (c != *expected++)
                        return false;
        }
        return *expected == 0;
}

static void check_scope(const char *id) {
        char name[UNITNAME_SIZE];
        int r;

        r = unitname_scope(name, sizeof name, "libpod", id);
        fuzz_claim(r == 0 || r == (*id ? UNITNAME_TOO_LONG : UNITNAME_BAD));
        if (r == UNITNAME_TOO_LONG)
                fuzz_claim(4 * strlen(id) + strlen("libpod-.scope") >= UNITNAME_SIZE);
        if (r != 0)
                return;
        fuzz_claim(unitname_is_valid(name, ".scope"));
        fuzz_claim(strncmp(name, "libpod-", 7) == 0);
        fuzz_claim(means(name + 7, strrchr(name, '.'), "\\x", id));
}

static void check_unit(const char *unit) {
        if (unitname_is_valid(unit, NULL))
                fuzz_claim(strlen(unit) < UNITNAME_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);

        check_scope(text);
        check_unit(text);
        free(text);
        return 0;
}
