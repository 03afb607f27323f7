/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is shown of a text has its length, no control of any kind, and is not changed again. What is cut leaves whole
 * letters.
 */

#include "base/utf8.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size), *again;
        size_t n = strlen(text), cut = utf8_unfinished(text, n);

        fuzz_claim(cut < 4 && cut <= n);
        fuzz_claim(utf8_make_printable(text) == text);
        fuzz_claim(strlen(text) == n);
        for (size_t i = 0; i < n; i++) {
                fuzz_claim((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
                fuzz_claim(text[i] != (char)0xc2 || (unsigned char)text[i + 1] >= 0xa0);
        }
        fuzz_claim(utf8_unfinished(text, n) == 0);
        again = fuzz_string(text, n);
        fuzz_claim(strcmp(utf8_make_printable(again), text) == 0);
        free(again);
        free(text);
        return 0;
}
