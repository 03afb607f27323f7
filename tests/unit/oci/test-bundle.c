/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "oci/bundle.h"

/* As Podman writes it, all on one line, shortened only in its tables. */
static const char podman_config[] =
        "{\"ociVersion\":\"1.0.2-dev\",\"process\":{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":"
        "0,\"umask\":18,"
        "\"additionalGids\":[0,4294967295]},\"args\":[\"sh\",\"-c\",\"echo \\\"a\\\\b\\\" "
        "\\u003c/dev/null "
        "\\u0026\\u0026 "
        "true\"],\"env\":[\"PATH=/usr/bin:/bin\",\"TERM=xterm\",\"NAME=gr\xc3\xbc\xc3\x9f "
        "\\ud83d\\ude00\\t\\u0007\"],\"cwd\":\"/\",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\"]},"
        "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":18446744073709551615,\"soft\":1048576}],"
        "\"oomScoreAdj\":-1000},\"root\":{\"path\":\"/var/lib/containers/storage/overlay/x/"
        "merged\"},"
        "\"hostname\":\"baz\",\"mounts\":[{\"destination\":\"/"
        "proc\",\"type\":\"proc\",\"source\":\"proc\","
        "\"options\":[\"nosuid\",\"noexec\"]},{\"destination\":\"/empty\",\"options\":[]}],"
        "\"annotations\":{\"io.container.manager\":\"libpod\",\"io.podman.annotations.label\":\"a="
        "b\","
        "\"org.opencontainers.image.stopSignal\":\"15\",\"org.systemd.property.KillSignal\":\"15\","
        "\"org.systemd.property.TimeoutStopUSec\":\"uint64 10000000\"},"
        "\"linux\":{\"uidMappings\":null,\"sysctl\":{\"net.ipv4.ping_group_range\":\"0 "
        "0\"},\"resources\":{\"devices\":"
        "[{\"allow\":false,\"access\":\"rwm\"}],\"memory\":{\"limit\":9223372036854775807,\"swap\":"
        "-1},"
        "\"cpu\":{\"quota\":-9223372036854775808,\"period\":100000,\"rate\":1.50,\"big\":1e+300,"
        "\"small\":-0.1000000000000000055511151231257827},"
        "\"pids\":{\"limit\":2048}},\"cgroupsPath\":\"machine.slice:libpod:0123456789abcdef\","
        "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/run/netns/x\"}],"
        "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
        "\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":[\"bdflush\",\"io_"
        "pgetevents\"],"
        "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1},{\"names\":[\"personality\"],\"action\":"
        "\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":4294967295,\"op\":\"SCMP_CMP_EQ\"},{"
        "\"index\":1,"
        "\"value\":18446744073709551615,\"valueTwo\":18446744073709551615,\"op\":\"SCMP_CMP_MASKED_"
        "EQ\"}]}]}}}";

typedef struct Place {
        char dir[32];
        char file[64];
} Place;

static Place place_new(const char *text, mode_t mode) {
        Place p = { .dir = "/tmp/test-bundle.XXXXXX" };

        cr_assert_not_null(mkdtemp(p.dir));
        (void)snprintf(p.file, sizeof p.file, "%s/config.json", p.dir);
        if (text) {
                cr_assert_eq(fd_write_file_atomic(AT_FDCWD, p.file, text, strlen(text), 0600), 0);
                cr_assert_eq(chmod(p.file, mode), 0);
        }
        return p;
}

static void place_done(const Place *p) {
        (void)unlink(p->file);
        cr_assert_eq(rmdir(p->dir), 0, "something was left in the bundle");
}

static Bundle *parse(const char *text) {
        const char *why = NULL;
        Bundle *b = NULL;

        cr_assert_eq(bundle_parse(&b, text, strlen(text), &why), 0, "%s: %s", text, why);
        return b;
}

static void expect_text(Bundle *b, const char *expected) {
        size_t n;

        cr_assert_str_eq(bundle_text(b, &n), expected);
        cr_assert_eq(n, strlen(expected));
}

CleanTest(bundle, nothing_there_is_an_answer) {
        Place p = place_new(NULL, 0);
        const char *why = NULL;
        Bundle *b = NULL;

        cr_assert_eq(bundle_open(&b, p.dir, &why), BUNDLE_MISSING);
        cr_assert_null(b);
        cr_assert_lt(bundle_open(&b, "/nonexistent", &why), 0);
        cr_assert_eq(mkdir(p.file, 0700), 0);
        cr_assert_eq(bundle_open(&b, p.dir, &why), BUNDLE_BROKEN);
        cr_assert_str_eq(why, "not a regular file");
        cr_assert_eq(rmdir(p.file), 0);
        place_done(&p);
        cr_assert_null(bundle_free(NULL));
}

CleanTest(bundle, broken_text_is_an_answer_with_a_reason) {
        static const char *const cases[] = {
                "",
                " ",
                "{",
                "[]",
                "null",
                "1",
                "\"x\"",
                "{\"a\":1} x",
                "{\"a\":1}{}",
                "{\"a\":1,}",
                "{'a':1}",
                "{/**/}",
                "{\"a\":NaN}",
                "{\"a\":-Infinity}",
                "{\"linux\":[]}",
                "{\"linux\":1}",
                "{\"annotations\":\"x\"}",
                "{\"linux\":{},\"annotations\":{},\"linux\":{}}",
                "{\"annotations\":{},\"annotat\\u0069ons\":{}}",
                "{\"a\":TRUE}",
                "{\"a\":01}",
                "{\"a\":\"",
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Place p = place_new(cases[i], 0600);
                const char *why = NULL;
                Bundle *b = NULL;

                cr_assert_eq(bundle_open(&b, p.dir, &why), BUNDLE_BROKEN, "%s", cases[i]);
                cr_assert_not_null(why);
                cr_assert_gt(strlen(why), 0U);
                cr_assert_null(b);
                place_done(&p);
        }
}

CleanTest(bundle, what_programs_disagree_about_stays_as_it_is) {
        static const char *const cases[] = {
                "{\"a\":\"\\\\u0000 NaN Infinity 99999999999999999999999\"}",
                "{\"99999999999999999999999\":\"\\\\\\\\u0000\"}",
                "{\"a\":99999999999999999999999.0,\"b\":1E-99999}",
                "{\"a\":18446744073709551616,\"b\":-9223372036854775809,\"c\":-0}",
                "{\"a\":\"x\\u0000\",\"a\\u0000b\":\"\\ud800 \\uDC00\"}",
                "{\"\xff\":\"\xc3\",\"a\":1,\"a\":2}",
                "\t{ \"linux\" :\r\n{ } , \"a\":\"\\/\\u003c\" }\n",
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Bundle *b = parse(cases[i]);

                expect_text(b, cases[i]);
                (void)bundle_free(b);
        }
}

CleanTest(bundle, depth_is_limited_far_beyond_what_exists) {
        char text[2048];
        const char *why = NULL;
        Bundle *b = NULL;

        for (int depth = 100; depth <= 300; depth += 200) {
                char *p = stpcpy(text, "{\"a\":");

                for (int i = 0; i < depth; i++)
                        *p++ = '[';
                for (int i = 0; i < depth; i++)
                        *p++ = ']';
                (void)stpcpy(p, "}");
                cr_assert_eq(bundle_parse(&b, text, strlen(text), &why), depth < 128 ? 0 : BUNDLE_BROKEN);
                b = bundle_free(b);
        }
        cr_assert_str_eq(why, "nesting too deep");
}

CleanTest(bundle, values_are_found) {
        Bundle *b = parse(podman_config);

        cr_assert_str_eq(bundle_cgroups_path(b), "machine.slice:libpod:0123456789abcdef");
        cr_assert_str_eq(bundle_annotation(b, "io.container.manager"), "libpod");
        cr_assert_null(bundle_annotation(b, "io.container"));
        b = bundle_free(b);

        b = parse("{\"linux\":null,\"annotations\":{\"a\":5}}");
        cr_assert_null(bundle_cgroups_path(b));
        cr_assert_null(bundle_annotation(b, "a"));
        b = bundle_free(b);

        b = parse(" {} \n");
        cr_assert_null(bundle_cgroups_path(b));
        cr_assert_null(bundle_annotation(b, "a"));
        b = bundle_free(b);
}

static void expect_same_but(const char *text, const char *path, const char *added) {
        static char expected[8192];
        const char *rest;
        char *out = expected;

        for (rest = podman_config; *rest;) {
                if (strncmp(rest, "machine.slice:libpod:0123456789abcdef", 37) == 0) {
                        out = stpcpy(out, path);
                        rest += 37;
                } else if (strncmp(rest, "},\"linux\"", 9) == 0) {
                        out = stpcpy(out, added);
                        out = stpcpy(out, "},\"linux\"");
                        rest += 9;
                } else
                        *out++ = *rest++;
        }
        *out = 0;
        cr_assert_str_eq(text, expected);
}

CleanTest(bundle, all_that_was_not_changed_is_kept) {
        for (int locale = 0; locale < 2; locale++) {
                Place p = place_new(podman_config, 0640);
                _cleanup_free_ char *text = NULL;
                const char *why = NULL;
                Bundle *b = NULL;
                struct stat st;

                (void)setlocale(LC_ALL,
                                locale ? "de_DE.UTF-8" : "C"); /* with a decimal comma, where it exists */
                cr_assert_eq(bundle_open(&b, p.dir, &why), 0);
                cr_assert_eq(bundle_set_cgroups_path(b, "/system.slice/baz.service/libpod-payload-0123"), 0);
                cr_assert_str_eq(bundle_cgroups_path(b), "/system.slice/baz.service/libpod-payload-0123");
                cr_assert_eq(bundle_annotate_property(b, "BindsTo", "['baz.service']"), 0);
                cr_assert_eq(bundle_annotate_property(b, "KillSignal", "9"), BUNDLE_KEPT);
                cr_assert_eq(bundle_save(b), 0);
                b = bundle_free(b);

                cr_assert_eq(fd_read_file(AT_FDCWD, p.file, 100000, &text, NULL), 0);
                expect_same_but(text, "/system.slice/baz.service/libpod-payload-0123",
                                ",\"org.systemd.property.BindsTo\":\"['baz.service']\"");
                cr_assert_eq(stat(p.file, &st), 0);
                cr_assert_eq(st.st_mode & 07777, 0640U);
                place_done(&p);
        }
        (void)setlocale(LC_ALL, "C");
}

CleanTest(bundle, owner_is_kept) {
        Place p = place_new("{}", 0604);
        const char *why = NULL;
        Bundle *b = NULL;
        struct stat st;

        if (chown(p.file, 12, 34) < 0) {
                place_done(&p);
                cr_skip_test("needs root");
        }
        cr_assert_eq(bundle_open(&b, p.dir, &why), 0);
        cr_assert_eq(bundle_save(b), 0);
        cr_assert_eq(bundle_save(b), 0);
        b = bundle_free(b);
        cr_assert_eq(stat(p.file, &st), 0);
        cr_assert_eq(st.st_uid, 12U);
        cr_assert_eq(st.st_gid, 34U);
        cr_assert_eq(st.st_mode & 07777, 0604U);
        place_done(&p);
}

CleanTest(bundle, failing_save_leaves_the_old_file_and_no_other) {
        Place p = place_new("{ }", 0600);
        const char *why = NULL;
        Bundle *b = NULL;

        cr_assert_eq(bundle_open(&b, p.dir, &why), 0);
        cr_assert_eq(unlink(p.file), 0);
        cr_assert_eq(mkdir(p.file, 0700), 0); /* nothing can be renamed onto it */
        cr_assert_lt(bundle_save(b), 0);
        b = bundle_free(b);
        cr_assert_eq(rmdir(p.file), 0);
        place_done(&p);
}

CleanTest(bundle, annotations_are_made_added_kept_and_replaced) {
        Bundle *b = parse("{\"annotations\":null,\"z\":1}");

        cr_assert_eq(bundle_annotate(b, "k", "v\"\\\n", false), 0);
        cr_assert_eq(bundle_annotate(b, "k", "w", false), BUNDLE_KEPT);
        cr_assert_str_eq(bundle_annotation(b, "k"), "v\"\\\n");
        expect_text(b, "{\"annotations\":{\"k\":\"v\\\"\\\\\\n\"},\"z\":1}");
        cr_assert_eq(bundle_annotate(b, "l", "", false), 0);
        cr_assert_eq(bundle_annotate(b, "k", "w", true), 0);
        cr_assert_eq(bundle_set_cgroups_path(b, "/x"), 0);
        expect_text(b, "{\"annotations\":{\"k\":\"w\",\"l\":\"\"},\"z\":1,\"linux\":{"
                       "\"cgroupsPath\":\"/x\"}}");
        b = bundle_free(b);
}

CleanTest(bundle, mounts_and_variables_come_last_and_lists_are_made) {
        Bundle *b = parse("{\"process\":{\"env\":[\"A=1\"]}}");

        cr_assert_eq(bundle_set_variable(b, "A", "2"), 0);
        cr_assert_eq(bundle_add_mount(b, "/run/x", "/y"), 0);
        expect_text(
                b,
                "{\"process\":{\"env\":[\"A=1\",\"A=2\"]},\"mounts\":[{\"destination\":\"/y\",\"source\":\"/"
                "run/x\","
                "\"type\":\"bind\",\"options\":[\"bind\",\"rprivate\",\"nosuid\",\"nodev\",\"noexec\"]}]}");
        b = bundle_free(b);

        b = parse("{\"process\":{}}");
        cr_assert_eq(bundle_set_variable(b, "A", ""), 0);
        expect_text(b, "{\"process\":{\"env\":[\"A=\"]}}");
        b = bundle_free(b);
}

/* Wherever it stands, and whatever stands around it. */
CleanTest(bundle, changes_find_their_place) {
        Bundle *b = parse("{ \"linux\": null, \"process\": { \"env\": null, \"terminal\": true },\n"
                          "\t\"mounts\": [ ],\n\t\"annotations\": {\n\t\t\"k\": \"v\" \n\t}\n}\n");

        cr_assert(bundle_wants_terminal(b));
        cr_assert_eq(bundle_set_variable(b, "A", "\t"), 0);
        cr_assert_eq(bundle_set_cgroups_path(b, "/a"), 0);
        cr_assert_eq(bundle_annotate(b, "l", "w", false), 0);
        cr_assert_eq(bundle_add_mount(b, "/x", "/y"), 0);
        cr_assert_eq(bundle_set_cgroups_path(b, "/long/enough"), 0);
        cr_assert_eq(bundle_annotate(b, "k", "", true), 0);
        cr_assert_eq(bundle_set_variable(b, "B", ""), 0);
        cr_assert_eq(bundle_add_mount(b, "/x", "/z"), 0);
        expect_text(b, "{ \"linux\": {\"cgroupsPath\":\"/long/enough\"}, \"process\": { \"env\": "
                       "[\"A=\\t\",\"B=\"], \"terminal\": true },\n\t\"mounts\": [{\"destination\":\"/y\","
                       "\"source\":\"/x\",\"type\":\"bind\",\"options\":[\"bind\",\"rprivate\",\"nosuid\","
                       "\"nodev\",\"noexec\"]},{\"destination\":\"/z\",\"source\":\"/x\",\"type\":\"bind\","
                       "\"options\":[\"bind\",\"rprivate\",\"nosuid\",\"nodev\",\"noexec\"]} ],\n"
                       "\t\"annotations\": {\n\t\t\"k\": \"\",\"l\":\"w\" \n\t}\n}\n");
        cr_assert_str_eq(bundle_cgroups_path(b), "/long/enough");
        cr_assert_str_eq(bundle_annotation(b, "l"), "w");
        b = bundle_free(b);
}

CleanTest(bundle, text_that_was_handed_out_outlives_changes) {
        Bundle *b = parse("{\"annotations\":{\"k\":\"old\",\"nul\":\"a\\u0000b\"}}");
        const char *old = bundle_annotation(b, "k");

        cr_assert_null(bundle_annotation(b, "nul"));
        for (int i = 0; i < 100; i++)
                cr_assert_eq(bundle_annotate(b, "k", i % 2 ? "x" : "a rather long one", true), 0);
        cr_assert_str_eq(old, "old");
        cr_assert_str_eq(bundle_annotation(b, "k"), "x");
        b = bundle_free(b);
}

CleanTest(bundle, mounts_and_variables_need_a_place) {
        Bundle *b = parse("{\"process\":[],\"mounts\":{}}");

        cr_assert_eq(bundle_set_variable(b, "A", "1"), -EINVAL);
        cr_assert_eq(bundle_add_mount(b, "/run/x", "/y"), -EINVAL);
        b = bundle_free(b);
        b = parse("{\"process\":{\"env\":7}}");
        cr_assert_eq(bundle_set_variable(b, "A", "1"), -EINVAL);
        b = bundle_free(b);
}
