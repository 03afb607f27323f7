/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clean.h"
#include "fake-manager.h"
#include "systemd/bus.h"
#include "systemd/unit.h"

#define NOBODY 4294967000U /* a uid with no directory below /run/user */

typedef struct Runtime {
        char dir[64];
        char socket[128];
} Runtime;

/* An XDG_RUNTIME_DIR with a character in its name that addresses do not allow */
static Runtime runtime_new(const char *socket_name) {
        Runtime t = { .dir = "/tmp/test bus,XXXXXX" };
        char sub[128];

        cr_assert_not_null(mkdtemp(t.dir));
        (void)snprintf(sub, sizeof sub, "%s/systemd", t.dir);
        cr_assert_eq(mkdir(sub, 0700), 0);
        (void)snprintf(t.socket, sizeof t.socket, "%s/%s", t.dir, socket_name);
        cr_assert_eq(setenv("XDG_RUNTIME_DIR", t.dir, 1), 0);
        return t;
}

static void runtime_free(const Runtime *t) {
        char sub[128];

        (void)unlink(t->socket);
        (void)snprintf(sub, sizeof sub, "%s/systemd", t->dir);
        (void)rmdir(sub);
        cr_assert_eq(rmdir(t->dir), 0);
}

static void check_user(const char *socket_name) {
        FakeManagerScript script = { .delegate = true };
        Runtime t = runtime_new(socket_name);
        FakeManager *m = fake_manager_new(&script, t.socket);
        FakeManagerSeen seen;
        UnitFacts facts;
        Bus *bus = NULL;

        cr_assert_eq(bus_open(true, NOBODY, &bus), 0);
        cr_assert_eq(unit_facts(bus, "baz.service", &facts), 0);
        cr_assert(facts.delegate);
        bus = bus_free(bus);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_get_alls, 1);
        runtime_free(&t);
}

CleanTest(bus, user_bus_is_found_by_its_directory) {
        check_user("bus");
}

CleanTest(bus, user_manager_without_a_bus_is_reached_by_its_own_socket) {
        check_user("systemd/private");
}

CleanTest(bus, no_user_manager_is_explained) {
        Runtime t = runtime_new("bus");
        Bus *bus = NULL;
        char text[256];

        cr_assert_eq(bus_open(true, NOBODY, &bus), -ENOENT);
        cr_assert_null(bus);
        bus_explain(-ENOENT, true, 1000, text, sizeof text);
        cr_assert_str_eq(text, "the user manager of uid 1000 is not running (\"loginctl enable-linger 1000\" "
                               "starts it)");
        runtime_free(&t);
}

CleanTest(bus, a_runtime_directory_that_is_no_path_is_passed_over) {
        Bus *bus = NULL;

        cr_assert_eq(setenv("XDG_RUNTIME_DIR", "", 1), 0);
        cr_assert_eq(bus_open(true, NOBODY, &bus), -ENOENT);
}

CleanTest(bus, errors_have_words) {
        char text[256];

        bus_explain(-ECONNREFUSED, false, 0, text, sizeof text);
        cr_assert_str_eq(text, "the system manager is unreachable: nothing listens on its bus socket");
        bus_explain(-EACCES, false, 0, text, sizeof text);
        cr_assert_str_eq(text, "the system manager denied access: Permission denied");
        bus_explain(-ETIMEDOUT, true, 7, text, sizeof text);
        cr_assert_str_eq(text, "the user manager of uid 7 does not respond");
        bus_explain(-EBADMSG, false, 0, text, sizeof text);
        cr_assert_str_eq(text, "the system manager is unreachable: Bad message");
        bus_explain(-EBADMSG, false, 0, text, 10);
        cr_assert_str_eq(text, "the syste");
        cr_assert_null(bus_free(NULL));
}
