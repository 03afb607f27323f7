/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A command line, its words separated by NUL bytes. All strings found must lie in argv, all lists must end, and a log
 * path is a piece of its word without a colon. What the parser prints is in the way: run with -close_fd_mask=3.
 */

#include <string.h>

#include "config/options.h"
#include "fuzz.h"

#define WORDS_MAX 64

static void check_string(const char *text, const char *from, size_t n) {
        fuzz_claim(!text || (text >= from && text <= from + n));
}

static void check_list(const StrList *list, const char *from, size_t n) {
        fuzz_claim((list->n == 0) == !list->words);
        for (size_t i = 0; i < list->n; i++)
                check_string(list->words[i], from, n);
        fuzz_claim(list->n == 0 || !list->words[list->n]);
}

static void check_log_path(const char *word) {
        LogTargets t = { 0 };
        int r;

        r = options_parse_log_path(word, &t);
        fuzz_claim(r >= 0);
        fuzz_claim(t.file + t.journald + t.none + t.passthrough == (r == 0));
        fuzz_claim(t.file == !!t.path);
        if (t.path)
                fuzz_claim(*t.path && !strchr(t.path, ':') && strstr(word, t.path));
        free(t.path);
}

/* As of a stranger's process: what is found is a word, or the end of one. */
static void check_peek(char *const argv[], const char *from, size_t n) {
        static const char *const names[] = { "cid", "name", "conmon-pidfile", "exec", "bundle", "no-such" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const char *value = NULL;

                if (options_peek(argv, names[i], &value))
                        fuzz_claim(!value || *value == 0 || (value >= from && value <= from + n));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *argv[WORDS_MAX + 1] = { (char *)"conmon" };
        _cleanup_free_ char *text = NULL;
        int argc = 1, r;
        Options o;

        text = malloc(size + 1);
        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        for (char *word = text; word <= text + size && argc < WORDS_MAX; word += strlen(word) + 1)
                argv[argc++] = word;

        check_log_path(text);
        check_peek(argv, text, size);
        r = options_parse(argc, argv, &o);
        fuzz_claim(r <= OPTIONS_DONE);
        if (r != 0)
                return 0;

        fuzz_claim(!o.version);
        check_string(o.cid, text, size);
        check_string(o.runtime, text, size);
        check_string(o.persist_dir, text, size);
        check_list(&o.log_path, text, size);
        check_list(&o.runtime_arg, text, size);
        check_list(&o.runtime_opt, text, size);
        check_list(&o.exit_command_arg, text, size);
        options_done(&o);
        return 0;
}
