/* SPDX-License-Identifier: Apache-2.0 */

/* What systemd is told to keep, and never to let go of before something else is there in its place. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "keeper/keeper-internal.h"
#include "service/store.h"
#include "service/unit.h"

typedef struct Fixture {
        char dir[64], socket[128];
        int listener;
        Options options;
        Origin origin;
        Keeper *k;
        unsigned n_put, n_removed, n_state_removed;
} Fixture;

static void fixture_init(Fixture *f) {
        static char *words[] = { (char *)"scopemon", NULL };
        struct sockaddr_un address;
        socklen_t size;

        *f = (Fixture){ .dir = "/tmp/test-store-keeper-XXXXXX",
                        .options = { .cid = (char *)"0123", .service = true } };
        cr_assert_not_null(mkdtemp(f->dir));
        (void)snprintf(f->socket, sizeof f->socket, "%s/notify", f->dir);
        cr_assert_eq(fd_unix_address(f->socket, &address, &size), 0);
        f->listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(bind(f->listener, (const struct sockaddr *)&address, size), 0);
        cr_assert_eq(setenv("NOTIFY_SOCKET", f->socket, 1), 0);
        cr_assert_eq(setenv("RUNTIME_DIRECTORY", f->dir, 1), 0);
        f->origin = (Origin){ .argc = 1, .argv = words, .given_argv = words };
        f->k = calloc(1, sizeof *f->k);
        f->k->service = calloc(1, sizeof *f->k->service);
        f->k->options = &f->options;
        f->k->origin = &f->origin;
        f->k->plan.survives = true;
        f->k->bundle_fd = fd_open_directory(f->dir);
        f->k->target.pidfd = process_pidfd(getpid());
        cr_assert_eq(event_new(&f->k->event), 0);
        cr_assert_eq(notify_queue_new(&f->k->service->notifications, f->k->event, f->socket, NULL, NULL), 0);
        cr_assert_eq(report_new(&f->k->report, f->k->event,
                                &(ReportSpec){ .sync_fd = -1, .attach_fd = -1, .cid = "0123" }, NULL, NULL),
                     0);
}

static void fixture_done(Fixture *f) {
        store_keeper_end(f->k);
        f->k->report = report_free(f->k->report);
        f->k->service->notifications = notify_queue_free(f->k->service->notifications);
        f->k->event = event_unref(f->k->event);
        (void)close(f->k->bundle_fd);
        (void)close(f->k->target.pidfd);
        free(f->k->service);
        free(f->k);
        (void)close(f->listener);
        (void)unlink(f->socket);
        cr_assert_eq(rmdir(f->dir), 0);
        (void)unsetenv("NOTIFY_SOCKET");
        (void)unsetenv("RUNTIME_DIRECTORY");
}

/* What has been said since the last time. */
static void hear(Fixture *f) {
        char text[256];
        ssize_t n;

        f->n_put = f->n_removed = f->n_state_removed = 0;
        while ((n = recv(f->listener, text, sizeof text - 1, 0)) > 0) {
                text[n] = 0;
                f->n_put += strncmp(text, "FDSTORE=1", 9) == 0;
                if (strncmp(text, "FDSTOREREMOVE=1", 15) == 0)
                        *(strstr(text, STORE_STATE) ? &f->n_state_removed : &f->n_removed) += 1;
        }
}

CleanTest(store_keeper, all_is_stored_when_the_container_runs) {
        Fixture f;

        fixture_init(&f);
        store_keeper_begin(f.k);
        hear(&f);
        cr_assert_geq(f.n_put, 3, "the bundle, the container's process, the state");
        fixture_done(&f);
}

CleanTest(store_keeper, nothing_is_let_go_of_by_an_image_that_goes_on) {
        unsigned before;
        Fixture f;

        fixture_init(&f);
        store_keeper_begin(f.k);
        hear(&f);
        before = f.n_put;
        store_keeper_again(f.k);
        hear(&f);
        cr_assert_eq(f.n_put, before, "what it would call by another name is there, too");
        cr_assert_eq(f.n_removed, 0);
        cr_assert_eq(f.n_state_removed, 1, "the older state, when there is a newer one");
        fixture_done(&f);
}
