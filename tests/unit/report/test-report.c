/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "report/report.h"

typedef struct Peer {
        Event *event;
        Report *report;
        int sync; /* our end */
        int attach;
        char dir[32];
} Peer;

typedef enum PeerType {
        PEER_PIPE,
        PEER_STREAM,
        PEER_SEQPACKET,
        _PEER_TYPE_MAX,
} PeerType;

static void make_pair(PeerType type, int *ret_ours, int *ret_theirs) {
        int fds[2];

        if (type == PEER_PIPE)
                cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        else
                cr_assert_eq(socketpair(AF_UNIX,
                                        (type == PEER_STREAM ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC,
                                        0, fds),
                             0);
        *ret_ours = fds[0];
        *ret_theirs = fds[1];
}

static void make_dir(const Peer *p, const char *name, char path[64]) {
        (void)snprintf(path, 64, "%s/%s", p->dir, name);
        cr_assert_eq(mkdir(path, 0755), 0);
}

/* Directories exit, persist and bundle lie in a temporary one. */
static Peer peer_new(PeerType type, bool api_v1, bool exec) {
        Peer p = { .dir = "/tmp/test-report.XXXXXX" };
        char exit_dir[64], persist[64], bundle[64];
        ReportSpec spec = { .exit_dir = exit_dir,
                            .persist_dir = persist,
                            .bundle = bundle,
                            .cid = "abc",
                            .api_v1 = api_v1,
                            .exec = exec };

        (void)signal(SIGPIPE, SIG_IGN);
        cr_assert_not_null(mkdtemp(p.dir));
        make_dir(&p, "exit", exit_dir);
        make_dir(&p, "persist", persist);
        make_dir(&p, "bundle", bundle);
        make_pair(type, &p.sync, &spec.sync_fd);
        make_pair(type, &p.attach, &spec.attach_fd);
        cr_assert_eq(event_new(&p.event), 0);
        cr_assert_eq(report_new(&p.report, p.event, &spec, NULL, NULL), 0);
        return p;
}

static void peer_done(Peer *p) {
        char command[64];

        p->report = report_free(p->report);
        p->event = event_unref(p->event);
        cleanup_close(&p->sync);
        cleanup_close(&p->attach);
        (void)snprintf(command, sizeof command, "rm -r %s", p->dir);
        cr_assert_eq(system(command), 0);
}

static void expect_record(int fd, const char *expected) {
        char text[8192];
        ssize_t n;

        n = read(fd, text, sizeof text - 1);
        cr_assert_geq(n, 0);
        text[n] = 0;
        cr_assert_str_eq(text, expected);
}

static void expect_nothing(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        cr_assert_eq(poll(&p, 1, 0), 0);
}

static void expect_file(const Peer *p, const char *name, const char *expected) {
        _cleanup_free_ char *text = NULL;
        char path[128];
        struct stat st;

        (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 100, &text, NULL), 0, "%s is not there", name);
        cr_assert_str_eq(text, expected);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 0777, 0644);
}

static bool exists(const Peer *p, const char *name) {
        char path[128];

        (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
        return access(path, F_OK) == 0;
}

static void remove_file(const Peer *p, const char *name) {
        char path[128];

        (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
        cr_assert_eq(unlink(path), 0);
}

static void remove_dir(const Peer *p, const char *name) {
        char path[128];

        (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
        cr_assert_eq(rmdir(path), 0);
}

CleanTest(report, each_mode_has_its_keys_on_each_kind_of_pipe) {
        static const struct {
                bool api_v1, exec;
                const char *pid, *failure, *end;
        } modes[] = {
                { false, false, "{\"pid\": 42}\n", "{\"pid\": -1, \"message\": \"no\"}\n", NULL },
                { true, false, "{\"data\": 42}\n", "{\"data\": -1, \"message\": \"no\"}\n", NULL },
                { false, true, NULL, "{\"exit_code\": -1, \"message\": \"no\"}\n", "{\"exit_code\": 7}\n" },
                { true, true, "{\"data\": 42}\n", "{\"data\": -1, \"message\": \"no\"}\n",
                  "{\"data\": 7}\n" },
        };

        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++)
                for (size_t i = 0; i < ELEMENTS(modes); i++) {
                        Peer p = peer_new(type, modes[i].api_v1, modes[i].exec);

                        report_pid(p.report, 42);
                        if (modes[i].pid)
                                expect_record(p.sync, modes[i].pid);
                        report_pid(p.report, 43);
                        report_failure(p.report, "late", 4);
                        expect_nothing(p.sync);
                        report_exec_exit(p.report, 7, NULL);
                        if (modes[i].end)
                                expect_record(p.sync, modes[i].end);
                        report_exec_exit(p.report, 8, NULL);
                        expect_nothing(p.sync);
                        report_close(p.report);
                        expect_record(p.sync, "");
                        peer_done(&p);

                        p = peer_new(type, modes[i].api_v1, modes[i].exec);
                        report_failure(p.report, "no", 2);
                        report_failure(p.report, "no", 2);
                        report_pid(p.report, 42);
                        report_exec_exit(p.report, 1, NULL);
                        report_close(p.report);
                        expect_record(p.sync, modes[i].failure);
                        expect_record(p.sync, "");
                        peer_done(&p);
                }
}

CleanTest(report, silent_failure_has_no_message) {
        Peer p = peer_new(PEER_SEQPACKET, false, false);

        report_failure(p.report, NULL, 0);
        expect_record(p.sync, "{\"pid\": -1}\n");
        peer_done(&p);
}

CleanTest(report, timed_out_exec_says_so) {
        Peer p = peer_new(PEER_PIPE, false, true);

        report_pid(p.report, 42);
        report_exec_exit(p.report, -1, "command timed out");
        expect_record(p.sync, "{\"exit_code\": -1, \"message\": \"command timed out\"}\n");
        peer_done(&p);
}

CleanTest(report, attach_pipe_gets_one_zero) {
        Peer p = peer_new(PEER_SEQPACKET, true, true);

        report_attach_ready(p.report);
        expect_record(p.attach, "{\"data\": 0}\n");
        expect_nothing(p.attach);
        expect_nothing(p.sync);
        peer_done(&p);
}

CleanTest(report, long_message_is_one_record_of_at_most_4096_bytes) {
        static char text[8191];

        (void)memset(text, '"', sizeof text);
        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++) {
                Peer p = peer_new(type, true, false);
                char record[8192];
                ssize_t n;

                report_failure(p.report, text, sizeof text);
                n = read(p.sync, record, sizeof record);
                cr_assert(n > 4000 && n <= 4096);
                cr_assert_eq(memcmp(record + n - 3, "\"}\n", 3), 0);
                peer_done(&p);
        }
}

CleanTest(report, reader_that_is_gone_is_no_error) {
        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++) {
                Peer p = peer_new(type, true, true);
                ReportSaved saved;

                cleanup_close(&p.sync);
                p.sync = -1;
                report_pid(p.report, 42);
                report_exec_exit(p.report, 0, NULL);
                report_attach_ready(p.report);
                report_save(p.report, &saved);
                cr_assert(saved.fds[0] == -1 && saved.fds[1] >= 0, "one is closed, one is not");
                peer_done(&p);
        }
}

CleanTest(report, no_pipes_is_fine) {
        Report *r = NULL;
        ReportSpec spec = { .sync_fd = -1, .attach_fd = -1, .cid = "abc", .exec = true };
        Event *event = NULL;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(report_new(&r, event, &spec, NULL, NULL), 0);
        report_attach_ready(r);
        report_pid(r, 1);
        cr_assert_eq(report_oom(r), 0);
        cr_assert_eq(report_exit_files(r, 0), 0);
        report_exec_exit(r, 0, NULL);
        cr_assert_null(report_free(r));
        cr_assert_null(report_free(NULL));
        event = event_unref(event);
}

CleanTest(report, exit_files_hold_the_bare_number) {
        static const struct {
                int status;
                const char *text;
        } cases[] = { { 137, "137" }, { -1, "-1" }, { 0, "0" } };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Peer p = peer_new(PEER_PIPE, true, false);

                cr_assert_eq(report_exit_files(p.report, cases[i].status), 0);
                expect_file(&p, "persist/exit", cases[i].text);
                expect_file(&p, "exit/abc", cases[i].text);
                cr_assert_null(report_exit_missing(p.report));
                peer_done(&p);
        }
}

CleanTest(report, exit_file_that_cannot_be_written_is_written_later) {
        Peer p = peer_new(PEER_PIPE, true, false);
        char obstacle[64];

        make_dir(&p, "exit/abc", obstacle);
        cr_assert_lt(report_exit_files(p.report, 3), 0);
        expect_file(&p, "persist/exit", "3");
        cr_assert_not_null(strstr(report_exit_missing(p.report), "/exit"));
        cr_assert_lt(report_exit_files(p.report, 3), 0);

        remove_dir(&p, "exit/abc");
        remove_file(&p, "persist/exit");
        cr_assert_eq(report_exit_files(p.report, 3), 0);
        cr_assert_null(report_exit_missing(p.report));
        expect_file(&p, "exit/abc", "3");
        cr_assert(!exists(&p, "persist/exit"), "a file that was there is written again");
        peer_done(&p);
}

CleanTest(report, exit_file_whose_directory_is_gone_is_not_waited_for) {
        Peer p = peer_new(PEER_PIPE, true, false);

        remove_dir(&p, "persist");
        remove_dir(&p, "exit");
        cr_assert_eq(report_exit_files(p.report, 3), -ENOENT);
        cr_assert_null(report_exit_missing(p.report));
        peer_done(&p);
}

CleanTest(report, one_exit_file_is_written_though_the_other_cannot_be) {
        Peer p = peer_new(PEER_PIPE, true, false);

        remove_dir(&p, "persist");
        cr_assert_eq(report_exit_files(p.report, 3), -ENOENT);
        expect_file(&p, "exit/abc", "3");
        peer_done(&p);

        p = peer_new(PEER_PIPE, true, false);
        remove_dir(&p, "exit");
        cr_assert_eq(report_exit_files(p.report, 3), -ENOENT);
        expect_file(&p, "persist/exit", "3");
        peer_done(&p);
}

CleanTest(report, directories_may_move_vanish_and_come_late) {
        Peer p = peer_new(PEER_PIPE, true, false);
        char from[64], to[64];

        (void)snprintf(from, sizeof from, "%s/exit", p.dir);
        (void)snprintf(to, sizeof to, "%s/moved", p.dir);
        cr_assert_eq(rename(from, to), 0);
        remove_dir(&p, "persist");
        make_dir(&p, "persist", to);
        cr_assert_eq(report_exit_files(p.report, 5), 0);
        expect_file(&p, "moved/abc", "5");
        expect_file(&p, "persist/exit", "5");
        peer_done(&p);
}

CleanTest(report, oom_leaves_empty_files_in_both_places) {
        Peer p = peer_new(PEER_PIPE, true, false);

        cr_assert(!exists(&p, "persist/oom"));
        cr_assert_eq(report_oom(p.report), 0);
        expect_file(&p, "persist/oom", "");
        expect_file(&p, "bundle/oom", "");
        cr_assert(!exists(&p, "exit/oom"));
        cr_assert_eq(report_oom(p.report), 0);
        peer_done(&p);
}
