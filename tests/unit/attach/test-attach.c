/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "attach-fixture.h"
#include "scopemon/protocol.h"

static bool watches_are_refused;

/* The program's own goes before libc's. */
int epoll_ctl(int epfd, int operation, int fd, struct epoll_event *event) {
        if (operation == EPOLL_CTL_ADD && watches_are_refused) {
                errno = ENOSPC;
                return -1;
        }
        return (int)syscall(SYS_epoll_ctl, epfd, operation, fd, event);
}

CleanTest(attach, socket_is_private_and_replaces_a_stale_one_below_a_long_path) {
        char dir[] = "/tmp/test-attach-XXXXXX", name[201] = "";
        int top, fd, stale;
        struct stat st;

        cr_assert_not_null(mkdtemp(dir));
        memset(name, 'x', sizeof name - 1);
        top = fd_open_directory(dir);
        cr_assert_eq(mkdirat(top, name, 0700), 0);
        fd = openat(top, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        stale = openat(fd, "attach", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        fd_close_many(&stale, 1);

        cr_assert_geq(attach_listen(fd, &stale), 0);
        cr_assert_eq(fstatat(fd, "attach", &st, AT_SYMLINK_NOFOLLOW), 0);
        cr_assert(S_ISSOCK(st.st_mode));
        cr_assert_eq(st.st_mode & 07777, 0700);

        (void)unlinkat(fd, "attach", 0);
        (void)unlinkat(top, name, AT_REMOVEDIR);
        fd_close_many(&stale, 1);
        fd_close_many(&fd, 1);
        fd_close_many(&top, 1);
        cr_assert_eq(rmdir(dir), 0);
}

CleanTest(attach, link_path_loses_a_character_at_107) {
        char dir[128] = "";

        for (size_t n = 95; n < 100; n++) {
                _cleanup_free_ char *path = NULL;

                memset(dir, 'd', n);
                dir[0] = '/';
                cr_assert_geq(attach_link_path(dir, "12345678", &path), 0);
                cr_assert_eq(strlen(path), n + 9 == 107 ? 106 : n + 9);
                cr_assert_eq(strncmp(path, dir, n), 0);
        }
        for (size_t i = 0; i < 2; i++) {
                _cleanup_free_ char *path = NULL;

                cr_assert_geq(attach_link_path(i ? "/" : "/run//", "c", &path), 0);
                cr_assert_str_eq(path, i ? "/c" : "/run/c");
        }
}

CleanTest(attach, link_in_the_bundle_itself_is_replaced_and_leads_to_the_socket) {
        _cleanup_free_ char *path = NULL;
        Fixture f;
        int fd;

        fixture_init(&f);
        cr_assert_geq(attach_link_path(f.dir, "cuuid", &path), 0);
        cr_assert_eq(symlink("/nowhere", path), 0);
        cr_assert_geq(attach_link_remove(path), 0);
        cr_assert_geq(attach_link_make(path, f.dir), 0);
        fd = connect_to(path);
        fd_close_many(&fd, 1);
        cr_assert_geq(attach_link_remove(path), 0);
        cr_assert_geq(attach_link_remove(path), 0, "none is fine");
        fixture_done(&f);
}

CleanTest(attach, two_clients_both_get_all_output_from_connect_time_on) {
        Fixture f;
        Peer early, late;

        fixture_init(&f);
        fixture_open(&f);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), UINT64_MAX);
        output(&f, STREAM_STDOUT, 1000);
        early = peer_connect(&f);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), 1000);
        output(&f, STREAM_STDOUT, 50000);
        output(&f, STREAM_STDERR, 10);
        late = peer_connect(&f);
        output(&f, STREAM_STDOUT, 20000);
        output(&f, STREAM_STDERR, 8193);
        peer_take_all(&f, &early);
        peer_take_all(&f, &late);
        cr_assert(peer_has_all(&f, &early) && peer_has_all(&f, &late));
        cr_assert_eq(early.largest, 8193);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), 71000);
        peer_close(&early);
        run_idle(&f);
        peer_close(&late);
        run_idle(&f);
        cr_assert_eq(f.n_clients, 2);
        cr_assert_eq(f.n_gone, 2);
        cr_assert(attach_is_done(f.attach));
        fixture_done(&f);
}

CleanTest(attach, successor_goes_on_at_the_right_byte) {
        Fixture f;
        Peer p;
        uint32_t number = 0;

        fixture_init(&f);
        fixture_open(&f);
        p = peer_connect(&f);
        output(&f, STREAM_STDOUT, DATA_MAX / 2);
        output(&f, STREAM_STDERR, 100);
        for (unsigned i = 0; i < 3; i++)
                cr_assert(peer_take(&p));
        for (unsigned i = 0; i < 3; i++) { /* the third dies before it has pushed anything */
                f.attach = attach_free(f.attach);
                memcpy(f.spec.head, (uint64_t[]){ f.windows[0].to, f.windows[1].to }, sizeof f.spec.head);
                fixture_open(&f);
                cr_assert_geq(attach_adopt(f.attach, number, fd_dup(f.copies[number])), 0);
                if (i == 2)
                        break;
                output(&f, STREAM_STDOUT, 100000);
        }
        cr_assert_lt(attach_adopt(f.attach, number, fd_dup(f.listener)), 0, "it is taken");
        cr_assert_lt(attach_adopt(f.attach, ATTACH_SLOTS, fd_dup(f.listener)), 0);
        peer_take_all(&f, &p);
        cr_assert(peer_has_all(&f, &p));
        peer_close(&p);
        run_idle(&f);
        cr_assert_eq(f.n_gone, 1);
        fixture_done(&f);
}

CleanTest(attach, garbage_in_a_slot_is_bounded) {
        Fixture f;
        Peer p;

        fixture_init(&f);
        fixture_open(&f);
        p = peer_connect(&f);
        output(&f, STREAM_STDOUT, 5000);
        peer_take_all(&f, &p);
        f.attach = attach_free(f.attach);
        f.slots[0] = (AttachSlot){ .state = 77, .flags = ~0U & ~0x1fU };
        f.slots[0].position[0] = UINT64_MAX;
        f.slots[0].position[1] = UINT64_MAX;
        fixture_open(&f);
        cr_assert_geq(attach_adopt(f.attach, 0, fd_dup(f.copies[0])), 0);
        output(&f, STREAM_STDOUT, 5000);
        peer_take_all(&f, &p);
        cr_assert(peer_has_all(&f, &p));
        peer_close(&p);
        fixture_done(&f);
}

static pid_t sleeping_process(int *ret_pidfd) {
        pid_t pid;
        int r;

        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        while (r == 0)
                (void)pause();
        cr_assert_geq(*ret_pidfd = process_pidfd(pid), 0);
        return pid;
}

/* A packet for stderr, in words. */
static void expect_complaint(Peer *p) {
        char packet[256];
        ssize_t n;

        n = recv(p->fd, packet, sizeof packet - 1, MSG_DONTWAIT);
        cr_assert_gt(n, 1);
        packet[n] = 0;
        cr_assert_eq(packet[0], SCOPEMON_ATTACH_STDERR);
        cr_assert_not_null(strstr(packet, "too many clients"));
}

CleanTest(attach, last_slot_is_for_the_starter_while_it_lives) {
        Fixture f;
        int fds[4];
        pid_t other;

        fixture_init(&f);
        f.spec.n_clients_max = 2;
        f.spec.starter = other = sleeping_process(&f.spec.starter_pidfd);
        fixture_open(&f);
        for (size_t i = 0; i < 2; i++)
                fds[i] = connect_to(f.dir);
        run_idle(&f);
        cr_assert_eq(f.n_clients, 1);
        cr_assert_eq(f.n_refused, 1);
        cr_assert_eq(process_end(other), 0);
        fds[2] = connect_to(f.dir);
        run_idle(&f);
        cr_assert_eq(f.n_clients, 2, "it cannot come any more");
        fd_close_many(fds, 3);
        run_idle(&f);
        f.attach = attach_free(f.attach);

        fd_close_many(&f.spec.starter_pidfd, 1);
        f.spec.starter = getpid();
        cr_assert_geq(f.spec.starter_pidfd = process_pidfd(getpid()), 0);
        f.spec.n_clients_max = 1;
        fixture_open(&f);
        fds[3] = connect_to(f.dir);
        run_idle(&f);
        cr_assert_eq(f.n_clients, 3, "this is its own");
        fd_close_many(&fds[3], 1);
        run_idle(&f);
        fd_close_many(&f.spec.starter_pidfd, 1);
        fixture_done(&f);
}

CleanTest(attach, thousand_clients_are_served_and_the_next_is_turned_away) {
        struct rlimit limit;
        static Peer peers[1001]; /* too large for the stack of a test */
        Fixture f;

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert_geq(limit.rlim_cur, 3100, "this test needs descriptors");

        fixture_init(&f);
        f.spec.n_clients_max = 1000;
        fixture_open(&f);
        for (size_t i = 0; i < 1001; i++) /* all of them wait before the first is accepted */
                peers[i] = (Peer){ .fd = connect_to(f.dir) };
        run_idle(&f);
        cr_assert_eq(f.n_clients, 1000);
        cr_assert_eq(f.n_refused, 1);
        expect_complaint(&peers[1000]);
        output(&f, STREAM_STDOUT, 20000);
        for (size_t i = 0; i < 1001; i++) {
                while (peer_take(&peers[i]))
                        ;
                cr_assert(peers[i].ended ? i == 1000 : peer_has_all(&f, &peers[i]));
        }
        for (size_t i = 0; i < 1001; i++)
                peer_close(&peers[i]);
        run_idle(&f);
        cr_assert_eq(f.n_gone, 1000);
        cr_assert(attach_is_done(f.attach));
        fixture_done(&f);
}

CleanTest(attach, out_of_descriptors_the_loop_rests_and_tries_again) {
        struct rlimit limit;
        Fixture f;
        int fd;

        fixture_init(&f);
        fixture_open(&f);
        fd = connect_to(f.dir);
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 3, limit.rlim_max }), 0);
        run_idle(&f);
        cr_assert_eq(f.n_clients, 0);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert(event_run_until(f.event, 10, f.n_clients == 1));
        fd_close_many(&fd, 1);
        fixture_done(&f);
}

CleanTest(attach, finish_delivers_everything_and_ends_with_end_of_file) {
        Fixture f;
        Peer p, late;

        fixture_init(&f);
        fixture_open(&f);
        attach_want_input(f.attach, false);
        p = peer_connect(&f);
        output(&f, STREAM_STDOUT, DATA_MAX / 2);
        output(&f, STREAM_STDERR, DATA_MAX / 4);
        for (unsigned i = 0; i < 10; i++) /* empty ones, too: they look like an end of file */
                cr_assert_geq(send(p.fd, "never read", i % 2 ? 10 : 0, 0), 0);
        cr_assert_geq(attach_finish(f.attach), 0);
        run_idle(&f);
        cr_assert_not(attach_is_done(f.attach));
        late = peer_connect(&f);
        peer_take_all(&f, &late);
        cr_assert(late.ended);
        peer_take_all(&f, &p);
        cr_assert(p.ended && peer_has_all(&f, &p), "got %zu", (size_t)p.got[0]);
        cr_assert(attach_is_done(f.attach));
        cr_assert_eq(f.n_clients, 1);
        cr_assert_eq(f.n_gone, 1);
        peer_close(&p);
        peer_close(&late);
        fixture_done(&f);
}

/* A descriptor of a process that has ended. */
static int ended_process(void) {
        pid_t pid = 0;
        int fd, r;

        r = process_fork(&pid);
        if (r == 0)
                process_exit(0);
        cr_assert_eq(r, 1);
        cr_assert_geq(fd = process_pidfd(pid), 0);
        cr_assert_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000), 1);
        cr_assert_eq(process_reap(pid), 0);
        return fd;
}

/* Nobody else would ever end the container's stdin. */
CleanTest(attach, starter_that_cannot_be_watched_is_lost_and_told_so) {
        for (unsigned is_starter = 0; is_starter < 2; is_starter++) {
                char byte;
                Fixture f;
                int fd;

                fixture_init(&f);
                f.spec.starter = is_starter ? getpid() : 0;
                cr_assert_geq(f.spec.starter_pidfd = process_pidfd(getpid()), 0);
                fixture_open(&f);
                fd = connect_to(f.dir);
                watches_are_refused = true;
                run_idle(&f);
                watches_are_refused = false;
                cr_assert_eq(f.n_refused, 1);
                cr_assert_eq(f.n_starter_lost, is_starter);
                cr_assert_eq(f.n_clients, 0);
                cr_assert_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 0, "it has an end");
                fd_close_many(&fd, 1);
                fd_close_many(&f.spec.starter_pidfd, 1);
                fixture_done(&f);
        }
}

CleanTest(attach, stream_withheld_from_the_starter_only_and_until_it_is_lost_elsewhere) {
        Fixture f;
        Peer starter, other;

        fixture_init(&f);
        f.spec.withhold[STREAM_STDOUT] = true;
        f.spec.starter = getpid();
        cr_assert_geq(f.spec.starter_pidfd = process_pidfd(getpid()), 0);
        fixture_open(&f);
        starter = peer_connect(&f);
        cr_assert_eq(f.slots[0].flags, ATTACH_STARTER | ATTACH_NO_STDOUT);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), UINT64_MAX);
        output(&f, STREAM_STDOUT, 3000);
        output(&f, STREAM_STDERR, 3000);
        peer_take_all(&f, &starter);
        cr_assert_eq(starter.got[STREAM_STDOUT], 0);
        cr_assert_eq(starter.got[STREAM_STDERR], 3000);
        attach_unwithhold(f.attach, STREAM_STDOUT);
        output(&f, STREAM_STDOUT, 2000);
        starter.got[STREAM_STDOUT] = 3000;
        peer_take_all(&f, &starter);
        cr_assert(peer_has_all(&f, &starter));

        /* Same pid, another process. */
        f.attach = attach_free(f.attach);
        fd_close_many(&f.copies[0], 1);
        fd_close_many(&f.spec.starter_pidfd, 1);
        f.spec.starter_pidfd = ended_process();
        f.slots[0] = (AttachSlot){ 0 };
        fixture_open(&f);
        other = peer_connect(&f);
        cr_assert_eq(f.slots[0].flags, 0);
        fd_close_many(&f.spec.starter_pidfd, 1);
        peer_close(&starter);
        peer_close(&other);
        fixture_done(&f);
}

CleanTest(attach, handlers_may_push_and_finish_while_clients_go) {
        Fixture f;
        Peer peers[64], stays;

        fixture_init(&f);
        f.output_on_gone = 10000;
        fixture_open(&f);
        attach_want_input(f.attach, false);
        for (size_t i = 0; i < ELEMENTS(peers) / 2; i++)
                peers[i] = peer_connect(&f);
        stays = peer_connect(&f);
        for (size_t i = ELEMENTS(peers) / 2; i < ELEMENTS(peers); i++)
                peers[i] = peer_connect(&f);
        attach_want_input(f.attach, true);
        for (size_t i = 0; i < ELEMENTS(peers); i++)
                cr_assert_eq(shutdown(peers[i].fd, SHUT_WR), 0);
        run_idle(&f);
        cr_assert_eq(f.n_gone, 0);
        for (size_t i = 0; i < ELEMENTS(peers); i++)
                peer_close(&peers[i]);
        output(&f, STREAM_STDOUT, 5); /* finds them all gone at once */
        cr_assert_eq(f.n_gone, ELEMENTS(peers));
        peer_take_all(&f, &stays);
        cr_assert(peer_has_all(&f, &stays));
        peer_close(&stays);
        fixture_done(&f);
}
