/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the walk accepts consists of values that it accepts alone, in the order of the text and within it. What a string
 * says can be encoded and comes back.
 */

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/jsontext.h"

static void check_string(const char *text, JsonSpan string) {
        size_t size = string.end - string.begin, size_again = 6 * size + 3;
        char *word = malloc(size), *again = malloc(size_again), *word_again = malloc(size_again);

        fuzz_claim(word && again && word_again);
        if (jsontext_decode(text, string, word, size)) {
                size_t n = jsontext_encode(word, again, size_again);

                fuzz_claim(n >= 2 && n == strlen(again));
                fuzz_claim(jsontext_same(text, string, word));
                fuzz_claim(jsontext_same(again, (JsonSpan){ 0, n }, word));
                fuzz_claim(jsontext_decode(again, (JsonSpan){ 0, n }, word_again, size_again));
                fuzz_claim(strcmp(word, word_again) == 0);
        }
        free(word);
        free(again);
        free(word_again);
}

static void check_value(const char *text, JsonSpan span) {
        JsonWalk w = { .text = text + span.begin, .n = span.end - span.begin };
        JsonSpan value;

        fuzz_claim(span.begin < span.end);
        fuzz_claim(jsontext_value(&w, &value) && w.at == w.n && value.begin == 0);
        if (text[span.begin] == '"')
                check_string(text, span);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *)data;
        JsonWalk w = { .text = text, .n = size }, members = { .text = text, .n = size };
        JsonSpan whole, name, value;
        size_t at = 0;

        if (!jsontext_value(&w, &whole) || !jsontext_end(&w)) {
                fuzz_claim(w.why && w.at <= size);
                return 0;
        }
        fuzz_claim(!w.why && w.depth == 0 && w.at == size && whole.end <= size);
        check_value(text, whole);
        if (text[whole.begin] != '{')
                return 0;
        fuzz_claim(jsontext_enter(&members));
        for (; jsontext_member(&members, &name, &value); at = value.end) {
                fuzz_claim(name.begin > at && value.begin > name.end && value.end < whole.end);
                fuzz_claim(text[name.begin] == '"');
                check_value(text, name);
                check_value(text, value);
        }
        fuzz_claim(!members.why && members.at == whole.end);
        return 0;
}
