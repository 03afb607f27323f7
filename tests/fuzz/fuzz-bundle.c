/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any text as config.json. What is accepted comes out as text that is accepted again and means the same; it can be
 * changed, and the changes are found. The input doubles as a string to be quoted, which never leaves its quotes.
 */

#include <ctype.h>
#include <string.h>

#include "fuzz.h"
#include "oci/bundle.h"

static void check_round_trip(Bundle *b) {
        _cleanup_(bundle_freep) Bundle *again = NULL;
        const char *why = NULL, *text, *text_again;
        size_t n, n_again;
        int r;

        text = bundle_text(b, &n);
        fuzz_claim(text);
        r = bundle_parse(&again, text, n, &why);
        fuzz_claim(r == 0);
        text_again = bundle_text(again, &n_again);
        fuzz_claim(n == n_again && memcmp(text, text_again, n) == 0);
}

static void check_changes(Bundle *b) {
        int r;

        r = bundle_set_cgroups_path(b, "/a/b");
        fuzz_claim(r == 0);
        fuzz_claim(strcmp(bundle_cgroups_path(b), "/a/b") == 0);
        r = bundle_annotate_property(b, "BindsTo", "['x.service']");
        fuzz_claim(r == 0 || r == BUNDLE_KEPT);
        r = bundle_annotate(b, "k", "v", true);
        fuzz_claim(r == 0);
        fuzz_claim(strcmp(bundle_annotation(b, "k"), "v") == 0);
}

static void check_quote(const char *text) {
        const char *const words[] = { text, NULL };
        _cleanup_free_ char *quoted = bundle_quote(text), *list = bundle_quote_list(words);
        size_t n = strlen(quoted);

        fuzz_claim(n >= 2 && quoted[0] == '\'' && quoted[n - 1] == '\'');
        fuzz_claim(strchr(quoted + 1, '\'') == quoted + n - 1);
        for (size_t i = 0; i < n; i++)
                fuzz_claim(!iscntrl((unsigned char)quoted[i]));

        n = 2;
        while (list[n] && list[n] != '\'')
                n += list[n] == '\\' ? 2 : 1;
        fuzz_claim(strcmp(list + n, "']") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        _cleanup_free_ char *text = malloc(size + 1);
        const char *why = NULL;
        int r;

        fuzz_claim(text);
        if (size > 0)
                (void)memcpy(text, data, size);
        text[size] = 0;

        check_quote(text);
        r = bundle_parse(&b, text, size, &why);
        fuzz_claim(r == 0 || (r == BUNDLE_BROKEN && why));
        if (r != 0)
                return 0;
        check_round_trip(b);
        check_changes(b);
        check_round_trip(b);
        return 0;
}
