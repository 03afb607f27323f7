/* SPDX-License-Identifier: Apache-2.0 */

#include "capture.h"
#include "clean.h"
#include "config/options.h"

/* The words of a command line behind the program's name, up to the first NULL. */
typedef struct Case {
        const char *words[16];
        const char *text; /* what is said */
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

CleanTest(options, every_option_fills_its_field) {
        Options o;

        cr_assert_eq(PARSE(&o, "--bundle=b", "--cid=c", "--conmon-pidfile=P", "--container-pidfile=p",
                           "--cuuid=u", "--exec-process-spec=s", "--exit-command=x", "--exit-dir=d",
                           "--log-level=l", "--log-tag=t", "--name=n", "--persist-dir=0"),
                     0);
        cr_expect_str_eq(o.bundle, "b");
        cr_expect_str_eq(o.cid, "c");
        cr_expect_str_eq(o.conmon_pidfile, "P");
        cr_expect_str_eq(o.container_pidfile, "p");
        cr_expect_str_eq(o.cuuid, "u");
        cr_expect_str_eq(o.exec_process_spec, "s");
        cr_expect_str_eq(o.exit_command, "x");
        cr_expect_str_eq(o.exit_dir, "d");
        cr_expect_str_eq(o.log_level, "l");
        cr_expect_str_eq(o.log_tag, "t");
        cr_expect_str_eq(o.name, "n");
        cr_expect_str_eq(o.persist_dir, "0");
        options_done(&o);

        cr_assert_eq(PARSE(&o, "--restore=r", "--runtime=R", "--sdnotify-socket=N", "--socket-dir-path=D",
                           "--seccomp-notify-socket=S", "--seccomp-notify-plugins=L", "--exit-delay=1",
                           "--log-max-files=2", "--timeout=3", "--log-size-max=4", "--log-global-size-max=5"),
                     0);
        cr_expect_str_eq(o.restore, "r");
        cr_expect_str_eq(o.runtime, "R");
        cr_expect_str_eq(o.sdnotify_socket, "N");
        cr_expect_str_eq(o.socket_dir_path, "D");
        cr_expect_str_eq(o.seccomp_notify_socket, "S");
        cr_expect_str_eq(o.seccomp_notify_plugins, "L");
        cr_expect_eq(o.exit_delay, 1);
        cr_expect_eq(o.log_max_files, 2);
        cr_expect_eq(o.timeout, 3);
        cr_expect_eq(o.log_size_max, 4);
        cr_expect_eq(o.log_global_size_max, 5);
        options_done(&o);
}

CleanTest(options, every_flag_sets_its_own_field_only) {
        static const struct {
                const char *word;
                size_t offset;
        } flags[] = {
#define FLAG(word, field) { "--" word, offsetof(Options, field) }
                FLAG("api-version", api_version),
                FLAG("exec", exec),
                FLAG("exec-attach", exec_attach),
                FLAG("full-attach", full_attach),
                FLAG("leave-stdin-open", leave_stdin_open),
                FLAG("log-rotate", log_rotate),
                FLAG("no-container-partial-message", no_container_partial_message),
                FLAG("no-new-keyring", no_new_keyring),
                FLAG("no-pivot", no_pivot),
                FLAG("no-sync-log", no_sync_log),
                FLAG("replace-listen-pid", replace_listen_pid),
                FLAG("stdin", want_stdin),
                FLAG("sync", sync),
                FLAG("syslog", syslog),
                FLAG("systemd-cgroup", systemd_cgroup),
                FLAG("terminal", terminal),
#undef FLAG
        };

        for (size_t i = 0; i < ELEMENTS(flags); i++) {
                Options o;

                cr_assert_eq(PARSE(&o, flags[i].word), 0);
                for (size_t k = 0; k < ELEMENTS(flags); k++)
                        cr_expect_eq(*(bool *)((char *)&o + flags[k].offset), k == i, "%s and %s",
                                     flags[i].word, flags[k].word);
                options_done(&o);
        }
}

CleanTest(options, defaults_are_the_contracts) {
        Options o;
        char *argv[] = { (char *)"conmon" };

        cr_assert_eq(options_parse(1, argv, &o), 0);
        cr_expect_eq(o.log_size_max, -1);
        cr_expect_eq(o.log_global_size_max, -1);
        cr_expect_eq(o.log_max_files, 1);
        cr_expect_eq(o.timeout, 0);
        cr_expect_eq(o.exit_delay, 0);
        cr_expect_str_eq(o.socket_dir_path, "/var/run/crio");
        cr_expect_null(o.bundle);
        cr_expect_null(o.log_path.words);
        options_done(&o);

        cr_assert_eq(options_parse(0, argv, &o), 0, "no argv[0] either");
        cr_expect_str_eq(o.program, "conmon");
        options_done(&o);
}

CleanTest(options, letters_mean_their_long_names) {
        Options o;

        cr_assert_eq(PARSE(&o, "-b", "B", "-c", "C", "-P", "1", "-p", "2", "-u", "U", "-e", "-l", "L"), 0);
        cr_expect_str_eq(o.bundle, "B");
        cr_expect_str_eq(o.cid, "C");
        cr_expect_str_eq(o.conmon_pidfile, "1");
        cr_expect_str_eq(o.container_pidfile, "2");
        cr_expect_str_eq(o.cuuid, "U");
        cr_expect(o.exec);
        cr_expect_str_eq(o.log_path.words[0], "L");
        options_done(&o);

        cr_assert_eq(PARSE(&o, "-n", "N", "-0", "D", "-r", "R", "-i", "-s", "-t", "-T", "7"), 0);
        cr_expect_str_eq(o.name, "N");
        cr_expect_str_eq(o.persist_dir, "D");
        cr_expect_str_eq(o.runtime, "R");
        cr_expect(o.want_stdin && o.systemd_cgroup && o.terminal);
        cr_expect_eq(o.timeout, 7);
        options_done(&o);
}

CleanTest(options, bundles_take_the_next_word_as_value) {
        Options o;

        cr_assert_eq(PARSE(&o, "-it"), 0);
        cr_expect(o.want_stdin && o.terminal && !o.exec);
        options_done(&o);

        cr_assert_eq(PARSE(&o, "-itc", "ID", "-e"), 0);
        cr_expect(o.want_stdin && o.terminal && o.exec);
        cr_expect_str_eq(o.cid, "ID");
        options_done(&o);

        cr_assert_eq(PARSE(&o, "-cit", "ID"), 0);
        cr_expect(o.want_stdin && o.terminal);
        cr_expect_str_eq(o.cid, "ID");
        options_done(&o);
}

CleanTest(options, value_is_taken_whatever_it_looks_like) {
        Options o;

        cr_assert_eq(PARSE(&o, "--runtime-arg", "--log-format=json", "--log-max-files", "-1", "-c", "--",
                           "--runtime-opt=--a=b", "--name=", "-n", "", "--bundle", "-t"),
                     0);
        cr_expect_str_eq(o.runtime_arg.words[0], "--log-format=json");
        cr_expect_eq(o.log_max_files, -1);
        cr_expect_str_eq(o.cid, "--");
        cr_expect_str_eq(o.runtime_opt.words[0], "--a=b");
        cr_expect_str_eq(o.name, "");
        cr_expect_str_eq(o.bundle, "-t");
        cr_expect_not(o.terminal);
        options_done(&o);
}

CleanTest(options, other_words_are_ignored_wherever_they_stand) {
        Options o;

        (void)setenv("POSIXLY_CORRECT", "1", 1);
        cr_assert_eq(PARSE(&o, "first", "--api-version", "1", "-", "", "-c", "ID", "last"), 0);
        cr_expect(o.api_version);
        cr_expect_str_eq(o.cid, "ID");
        options_done(&o);
}

CleanTest(options, flag_with_a_value_is_just_set) {
        Options o;

        cr_assert_eq(PARSE(&o, "--api-version=0", "--sync="), 0);
        cr_expect(o.api_version && o.sync);
        options_done(&o);
}

CleanTest(options, two_dashes_end_the_options) {
        Options o;

        cr_assert_eq(PARSE(&o, "-t", "--", "-i", "--bogus"), 0);
        cr_expect(o.terminal && !o.want_stdin);
        options_done(&o);
}

CleanTest(options, last_single_value_wins_lists_grow) {
        Options o;

        cr_assert_eq(PARSE(&o, "-c", "a", "-l", "one", "--cid=b", "--log-path", "two", "-l", "three"), 0);
        cr_expect_str_eq(o.cid, "b");
        cr_assert_eq(o.log_path.n, 3);
        cr_expect_str_eq(o.log_path.words[0], "one");
        cr_expect_str_eq(o.log_path.words[2], "three");
        cr_expect_null(o.log_path.words[3]);
        options_done(&o);

        cr_assert_eq(PARSE(&o, "--exit-command-arg", "", "--exit-command-arg", "-x", "--log-label=A=1",
                           "--log-allowlist-dir=/d"),
                     0);
        cr_assert_eq(o.exit_command_arg.n, 2);
        cr_expect_str_eq(o.exit_command_arg.words[0], "");
        cr_expect_str_eq(o.exit_command_arg.words[1], "-x");
        cr_expect_str_eq(o.log_label.words[0], "A=1");
        cr_expect_str_eq(o.log_allowlist_dir.words[0], "/d");
        options_done(&o);
}

CleanTest(options, old_names_are_aliases) {
        Options o;

        cr_assert_eq(PARSE(&o, "--pidfile", "p", "--restore-arg", "a", "--runtime-opt", "b"), 0);
        cr_expect_str_eq(o.container_pidfile, "p");
        cr_assert_eq(o.runtime_opt.n, 2);
        cr_expect_str_eq(o.runtime_opt.words[0], "a");
        cr_expect_str_eq(o.runtime_opt.words[1], "b");
        options_done(&o);
}

CleanTest(options, integers_have_c_syntax) {
        Options o;

        cr_assert_eq(PARSE(&o, "-T", "0x10", "--exit-delay=010", "--log-size-max=-0x1",
                           "--log-global-size-max", "9223372036854775807", "--log-max-files=2147483647"),
                     0);
        cr_expect_eq(o.timeout, 16);
        cr_expect_eq(o.exit_delay, 8);
        cr_expect_eq(o.log_size_max, -1);
        cr_expect_eq(o.log_global_size_max, INT64_MAX);
        cr_expect_eq(o.log_max_files, 2147483647);
        options_done(&o);
}

CleanTest(options, any_bytes_are_accepted) {
        Options o;

        cr_assert_eq(PARSE(&o, "--name", "\xff\xfe\x01", "--runtime-arg=\xc3\x28"), 0);
        cr_expect_str_eq(o.name, "\xff\xfe\x01");
        cr_expect_str_eq(o.runtime_arg.words[0], "\xc3\x28");
        options_done(&o);
}

CleanTest(options, errors_are_said_in_the_known_words) {
        static const Case cases[] = {
                { { "--x" }, "Unknown option --x" },
                { { "--versio" }, "Unknown option --versio" },
                { { "--x=1" }, "Unknown option --x=1" },
                { { "--=1" }, "Unknown option --=1" },
                { { "--version", "--x" }, "Unknown option --x" },
                { { "--help-me" }, "Unknown option --help-me" },
                { { "--help=1" }, "Unknown option --help=1" },
                { { "-Z" }, "Unknown option -Z" },
                { { "-tZ" }, "Unknown option -tZ" },
                { { "-c=foo", "x" }, "Unknown option -c=foo" },
                { { "--cid" }, "Missing argument for --cid" },
                { { "-t", "-c" }, "Missing argument for -c" },
                { { "-cfoo" }, "Missing argument for -c" },
                { { "-cn", "x", "y" }, "Error parsing option -n" },
                { { "--timeout", "x" }, "Cannot parse integer value “x” for --timeout" },
                { { "--timeout=" }, "Cannot parse integer value “” for --timeout" },
                { { "-T", "1s" }, "Cannot parse integer value “1s” for -T" },
                { { "--log-size-max=1.5" }, "Cannot parse integer value “1.5” for --log-size-max" },
                { { "--log-max-files", "2147483648" },
                  "Integer value “2147483648” for --log-max-files out of range" },
                { { "-T", "-2147483649" }, "Integer value “-2147483649” for -T out of range" },
                { { "-l", "a", "-l", "b", "--log-size-max", "9223372036854775808" },
                  "Integer value “9223372036854775808” for --log-size-max out of range" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char want[256];
                Capture c;
                Options o;
                int r;

                capture_begin(&c, STDERR_FILENO);
                r = parse(cases[i].words, &o);
                (void)capture_end(&c);
                (void)snprintf(want, sizeof want, "conmon: option parsing failed: %s\n", cases[i].text);
                cr_expect_lt(r, 0);
                cr_expect_str_eq(c.text, want);
        }
}

CleanTest(options, version_begins_as_callers_expect) {
        Options o;
        Capture c;
        int major, minor, patch, n = 0;

        capture_begin(&c, STDOUT_FILENO);
        cr_assert_eq(PARSE(&o, "--version", "-l", "nonsense:", "--log-max-files=-1"), OPTIONS_DONE);
        (void)capture_end(&c);
        cr_assert_eq(sscanf(c.text, "conmon version %d.%d.%d\ncommit: %n", &major, &minor, &patch, &n), 3);
        cr_expect_gt(n, 0);
        cr_expect_geq(major * 10000 + minor * 100 + patch, 20102);
        cr_expect_not_null(strstr(c.text + n, "\nscopemon "));

        capture_begin(&c, STDERR_FILENO);
        (void)PARSE(&o, "--version");
        cr_expect_str_eq(capture_end(&c), "", "a single word on stderr would be taken for the version");
}

CleanTest(options, help_is_found_at_the_first_mention) {
        static const Case cases[] = {
                { { "--help" }, "" },
                { { "-h" }, "" },
                { { "-?" }, "" },
                { { "--help-all" }, "" },
                { { "-t", "--help", "--x" }, "" },
                { { "-l", "x", "-th" }, "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Capture c;
                Options o;

                capture_begin(&c, STDOUT_FILENO);
                cr_expect_eq(parse(cases[i].words, &o), OPTIONS_DONE);
                (void)capture_end(&c);
                cr_expect_not_null(strstr(c.text, "\n  -e, --exec "));
                cr_expect_not_null(strstr(c.text, "\n  --log-global-size-max"));
                cr_expect_not_null(strstr(c.text, "\n  -b, --bundle"));
                cr_expect_not_null(strstr(c.text, "journald"));
                cr_expect_null(strstr(c.text, "--restore-arg"));
                cr_expect_null(strstr(c.text, " --pidfile"));
        }
}

CleanTest(options, unwritable_stdout_is_an_error) {
        FILE *full = fopen("/dev/full", "we");

        cr_assert_not_null(full);
        cr_expect_lt(options_help(full, "conmon"), 0);
        (void)fclose(full);
}

CleanTest(options, done_is_fine_twice_and_for_nothing) {
        Options o = { 0 };

        options_done(&o);
        cr_assert_eq(PARSE(&o, "-l", "x"), 0);
        options_done(&o);
        options_done(&o);
}
