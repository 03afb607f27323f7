/* SPDX-License-Identifier: Apache-2.0 */

#include "capture.h"
#include "clean.h"
#include "config/options.h"

#define CID "0123456789abcdef"
#define BASE "-c", CID, "-u", "U", "-r", "/bin/sh"

typedef struct Case {
        const char *words[20];
        const char *text; /* what is said, "" for nothing */
} Case;

static int parse(const char *const *words, Options *ret) {
        char *argv[24] = { (char *)"/usr/bin/conmon" };
        int argc = 1;

        while (words[argc - 1]) {
                argv[argc] = (char *)words[argc - 1];
                argc++;
        }
        return options_parse(argc, argv, ret);
}

#define PARSE(o, ...) parse((const char *const[]){ __VA_ARGS__, NULL }, (o))

/* Both checks, as the caller does them. What is said stays in @c. */
static int check(const char *const *words, Capture *c) {
        Options o;
        int r;

        cr_assert_eq(parse(words, &o), 0);
        capture_begin(c, STDERR_FILENO);
        r = options_check(&o);
        if (r == 0)
                r = options_check_log(&o);
        (void)capture_end(c);
        options_done(&o);
        return r;
}

CleanTest(options_check, each_error_is_said_in_the_known_words) {
        static const Case cases[] = {
                { { "--log-max-files=-1", "--log-rotate" },
                  "conmon: log-max-files must be non-negative, got -1" },
                { { "--log-rotate", "--log-max-files", "0" },
                  "conmon: log-max-files must be at least 1 when log-rotate is enabled, got 0" },
                { { "-u", "U" }, "conmon: Container ID not provided. Use --cid" },
                { { BASE, "-l", "none", "--log-level", "bogus" }, "[conmon:e]: No such log level bogus" },
                { { BASE, "-l", "none", "-e", "--restore", "d" },
                  "[conmon:e]: Cannot use 'exec' and 'restore' at the same time" },
                { { BASE, "-l", "none", "--exec-attach", "--api-version" },
                  "[conmon:e]: Attach can only be specified with exec" },
                { { BASE, "-l", "none", "--exec-attach", "-e" },
                  "[conmon:e]: Attach can only be specified for a non-legacy exec session" },
                { { "-c", CID, "-r", "/bin/sh" }, "[conmon:e]: Container UUID not provided. Use --cuuid" },
                { { "-c", CID, "-e", "--api-version" },
                  "[conmon:e]: Container UUID not provided. Use --cuuid" },
                { { "-c", CID, "-u", "U" }, "[conmon:e]: Runtime path not provided. Use --runtime" },
                { { "-c", CID, "-e" }, "[conmon:e]: Runtime path not provided. Use --runtime" },
                { { "-c", CID, "-u", "U", "-r", "/no/such" },
                  "[conmon:e]: Runtime path /no/such is not valid No such file or directory" },
                { { BASE, "-e" },
                  "[conmon:e]: Exec process spec path not provided. Use --exec-process-spec" },
                { { BASE, "--exit-delay", "-1" },
                  "[conmon:e]: Delay before invoking exit command must be greater than or equal to "
                  "0" },
                { { BASE }, "[conmon:e]: Log driver not provided. Use --log-path" },
                { { BASE, "-l", "" }, "[conmon:e]: log-path must not be empty" },
                { { BASE, "-l", "::" }, "[conmon:e]: log-path must not be empty" },
                { { BASE, "-l", "k8s-file:" }, "[conmon:e]: k8s-file requires a filename" },
                { { BASE, "-l", "none", "-l", "json-file:/p" }, "[conmon:e]: No such log driver json-file" },
                { { BASE, "-l", "/a/b:c" }, "[conmon:e]: No such log driver /a/b" },
                { { BASE, "-l", "/x", "--log-tag", "t" }, "[conmon:e]: k8s-file doesn't support --log-tag" },
                { { BASE, "-l", "/x", "--log-label", "A=b" },
                  "[conmon:e]: k8s-file doesn't support --log-label" },
                { { BASE, "-c", "0123456789ab", "-l", "journald" },
                  "[conmon:e]: Container ID must be longer than 12 characters" },
                { { BASE, "-l", "journald", "--log-label", "=v" },
                  "[conmon:e]: Container labels must be in format LABEL=VALUE (no LABEL present in "
                  "'=v')" },
                { { BASE, "-l", "journald", "--log-label", "A" },
                  "[conmon:e]: Container labels must be in format LABEL=VALUE "
                  "(none or more than one '=' present in 'A')" },
                { { BASE, "-l", "journald", "--log-label", "A=b=c" },
                  "[conmon:e]: Container labels must be in format LABEL=VALUE "
                  "(none or more than one '=' present in 'A=b=c')" },
                { { BASE, "-l", "journald", "--log-label", "OK=", "--log-label", "a=b" },
                  "[conmon:e]: Container label names must contain only uppercase letters, numbers "
                  "and "
                  "underscore (in 'a=b')" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char want[256];
                Capture c;

                (void)snprintf(want, sizeof want, "%s\n", cases[i].text);
                cr_expect_lt(check(cases[i].words, &c), 0, "%s", want);
                cr_expect_str_eq(c.text, want);
        }
}

CleanTest(options_check, the_first_of_two_errors_is_said) {
        /* Each line lacks what the lines after it complain about. */
        static const Case cases[] = {
                { { "--log-max-files=-1" }, "log-max-files must be non-negative" },
                { { "--log-max-files=0", "--log-rotate" }, "at least 1" },
                { { "--log-level=x" }, "Container ID not" },
                { { "-c", "i", "--log-level=x", "-e", "--restore=d", "--exec-attach" }, "No such log level" },
                { { "-c", "i", "-e", "--restore=d", "--exec-attach" }, "Cannot use" },
                { { "-c", "i", "--exec-attach" }, "only be specified with exec" },
                { { "-c", "i", "--exec-attach", "-e" }, "non-legacy" },
                { { "-c", "i" }, "Container UUID" },
                { { "-c", "i", "-e" }, "Runtime path not" },
                { { "-c", "i", "-e", "-r", "/no" }, "is not valid" },
                { { "-c", "i", "-e", "-r", "/", "--exit-delay=-1" }, "Exec process spec" },
                { { "-c", "i", "-e", "-r", "/", "--exec-process-spec=x", "--exit-delay=-1" }, "Delay" },
                { { "-c", "i", "-e", "-r", "/", "--exec-process-spec=x" }, "Log driver not" },
                { { "-c", "i", "-u", "u", "-r", "/", "-l", "journald", "-l", "k8s-file", "--log-label=" },
                  "requires a filename" },
                { { "-c", "i", "-u", "u", "-r", "/", "-l", "journald", "--log-label=x" }, "longer than 12" },
                { { BASE, "-l", "/f", "--log-tag=x", "--log-label=x" }, "--log-tag" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Capture c;

                cr_expect_lt(check(cases[i].words, &c), 0);
                cr_expect_not_null(strstr(c.text, cases[i].text), "%s instead of %s", c.text, cases[i].text);
                cr_expect_eq(strchr(c.text, '\n') - c.text, (ptrdiff_t)strlen(c.text) - 1,
                             "more than one line");
        }
}

CleanTest(options_check, what_callers_pass_is_fine) {
        static const Case cases[] = {
                { { BASE, "-l", "none" }, "" },
                { { "-c", CID, "-r", "/", "-e", "--exec-process-spec", "s", "-l", "/l" }, "" },
                { { BASE, "-l", "/l", "-l", "journald:", "--log-tag", "t", "--log-label", "A_1=" }, "" },
                { { BASE, "-l", "none", "--log-tag", "t", "--log-label", "bad" }, "" },
                { { BASE, "-l", "passthrough", "--log-tag", "t" }, "" },
                { { BASE, "-l", "off", "--log-level", "WARNING" }, "" },
                { { "-c", "i", "-u", "u", "-r", "/", "-l", "k8s-file:/l" }, "" },
                { { BASE, "-l", "journald", "--no-container-partial-message" }, "" },
                { { BASE, "-l", "/l", "--no-container-partial-message" },
                  "[conmon:w]: --no-container-partial-message has no effect without journald log "
                  "driver\n" },
                { { BASE, "-l", "none", "--log-max-files=0" }, "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Capture c;

                cr_expect_eq(check(cases[i].words, &c), 0, "case %zu", i);
                cr_expect_str_eq(c.text, cases[i].text);
        }
}

CleanTest(options_check, seccomp_notify_is_refused_clearly) {
        static const Case cases[] = {
                { { BASE, "-l", "none", "--seccomp-notify-socket", "/s" }, "--seccomp-notify-socket is not" },
                { { BASE, "-l", "none", "--seccomp-notify-plugins=p" }, "--seccomp-notify-plugins is not" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Capture c;

                cr_expect_lt(check(cases[i].words, &c), 0);
                cr_expect_not_null(strstr(c.text, cases[i].text));
        }
}

CleanTest(options_check, log_words_are_understood_by_the_table) {
        static const struct {
                const char *word;
                int answer;
                LogTargets want;
        } cases[] = {
                { "", LOG_PATH_EMPTY, { 0 } },
                { ":", LOG_PATH_EMPTY, { 0 } },
                { ":::", LOG_PATH_EMPTY, { 0 } },
                { "k8s-file:/p", 0, { .file = true, .path = (char *)"/p" } },
                { "k8s-file:p:q", 0, { .file = true, .path = (char *)"p" } },
                { "k8s-file:none", 0, { .file = true, .path = (char *)"none" } },
                { "/var/log/x", 0, { .file = true, .path = (char *)"/var/log/x" } },
                { "json-file", 0, { .file = true, .path = (char *)"json-file" } },
                { "k8s-filer", 0, { .file = true, .path = (char *)"k8s-filer" } },
                { "journal", 0, { .file = true, .path = (char *)"journal" } },
                { "Journald", 0, { .file = true, .path = (char *)"Journald" } },
                { ":/p", 0, { .file = true, .path = (char *)"/p" } },
                { ":none", 0, { .file = true, .path = (char *)"none" } },
                { ":journald", 0, { .file = true, .path = (char *)"journald" } },
                { "k8s-file", LOG_PATH_NO_FILENAME, { 0 } },
                { "k8s-file:", LOG_PATH_NO_FILENAME, { 0 } },
                { "journald", 0, { .journald = true } },
                { "journald:", 0, { .journald = true } },
                { "journald:anything", 0, { .journald = true } },
                { "none", 0, { .none = true } },
                { "off", 0, { .none = true } },
                { "null", 0, { .none = true } },
                { "none:", 0, { .none = true } },
                { "off:", 0, { .none = true } },
                { "null:", 0, { .none = true } },
                { "passthrough", 0, { .passthrough = true } },
                { "passthrough:", 0, { .passthrough = true } },
                { "json-file:/p", LOG_PATH_NO_DRIVER, { 0 } },
                { "/a/b:c", LOG_PATH_NO_DRIVER, { 0 } },
                { "/a:", LOG_PATH_NO_DRIVER, { 0 } },
                { "\xff\xfe", 0, { .file = true, .path = (char *)"\xff\xfe" } },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const LogTargets *want = &cases[i].want;
                LogTargets t = { 0 };

                cr_expect_eq(options_parse_log_path(cases[i].word, &t), cases[i].answer, "%s", cases[i].word);
                cr_expect(t.file == want->file && t.journald == want->journald && t.none == want->none &&
                                  t.passthrough == want->passthrough,
                          "%s", cases[i].word);
                cr_expect_eq(!t.path, !want->path, "%s", cases[i].word);
                if (t.path && want->path)
                        cr_expect_str_eq(t.path, want->path);
                free(t.path);
        }
}

CleanTest(options_check, log_words_add_up_and_the_last_file_wins) {
        Options o;

        cr_assert_eq(PARSE(&o, BASE, "-l", "/a", "-l", "none", "-l", "journald", "-l", "k8s-file:/b"), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_expect(o.log_targets.file && o.log_targets.none && o.log_targets.journald);
        cr_expect_not(o.log_targets.passthrough);
        cr_expect_str_eq(o.log_targets.path, "/b");
        cr_expect_str_eq(o.log_path.words[3], "k8s-file:/b", "argv is left alone");
        options_done(&o);
}

CleanTest(options_check, defaults_lie_in_the_working_directory) {
        Options o;

        cr_assert_eq(chdir("/proc"), 0);
        cr_assert_eq(PARSE(&o, BASE, "-l", "none"), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_expect_str_eq(o.bundle, "/proc");
        cr_expect_str_eq(o.container_pidfile, "/proc/pidfile-" CID);
        options_done(&o);

        cr_assert_eq(PARSE(&o, BASE, "-l", "none", "-b", "B", "-p", "P", "--restore", "d"), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_expect_str_eq(o.bundle, "B");
        cr_expect_str_eq(o.container_pidfile, "P");
        options_done(&o);
}

CleanTest(options_check, exec_has_no_bundle_unless_given) {
        Options o;

        cr_assert_eq(PARSE(&o, BASE, "-l", "none", "-e", "--exec-process-spec", "s"), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_expect_null(o.bundle);
        options_done(&o);
}

CleanTest(options_check, a_vanished_working_directory_is_said) {
        char path[] = "/tmp/test-options-XXXXXX";
        Capture c;

        cr_assert_not_null(mkdtemp(path));
        cr_assert_eq(chdir(path), 0);
        cr_assert_eq(rmdir(path), 0);
        cr_expect_lt(check((const char *const[]){ BASE, "-l", "none", NULL }, &c), 0);
        cr_expect_str_eq(c.text, "[conmon:e]: Failed to get working directory No such file or directory\n");
        cr_expect_eq(
                check((const char *const[]){ BASE, "-l", "none", "-b", "/bundle", "-p", "/pidfile", NULL },
                      &c),
                0, "it is not needed: %s", c.text);
}

CleanTest(options_check, level_is_set_by_its_name) {
        Options o;

        cr_assert_eq(PARSE(&o, BASE, "-l", "none", "--log-level", "Debug"), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_expect_eq(o.level, LOG_LEVEL_DEBUG);
        cr_expect(log_wants(LOG_LEVEL_DEBUG) && !log_wants(LOG_LEVEL_TRACE));
        options_done(&o);

        cr_assert_eq(PARSE(&o, BASE, "-l", "none"), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_expect(log_wants(LOG_LEVEL_WARNING) && !log_wants(LOG_LEVEL_INFO));
        options_done(&o);
}
