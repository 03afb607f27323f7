/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "systemd/bus.h"
#include "systemd/unit.h"

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

typedef struct Answer {
        bool over, known;
        BusTrouble trouble;
} Answer;

static int on_answer(void *userdata, const UnitFacts *facts, const BusTrouble *trouble) {
        *(Answer *)userdata =
                (Answer){ .over = true, .known = facts && facts->delegate, .trouble = *trouble };
        return 0;
}

typedef struct Client {
        Event *event;
        Bus *bus;
} Client;

static void client_init(Client *c) {
        cr_assert_eq(event_new(&c->event), 0);
        cr_assert_eq(bus_new(&c->bus, c->event, true, FAKE_MANAGER_UID), 0);
}

static Answer client_ask(Client *c) {
        UnitQuestion *q = NULL;
        Answer a = { 0 };

        cr_assert_eq(unit_ask(&q, c->bus, "baz.service", on_answer, &a), 0);
        cr_assert(event_run_until(c->event, 10, a.over));
        q = unit_question_free(q);
        return a;
}

static void client_done(Client *c) {
        c->bus = bus_free(c->bus);
        c->event = event_unref(c->event);
}

static void check_user(const char *socket_name) {
        FakeManagerScript script = { .delegate = true };
        Runtime t = runtime_new(socket_name);
        FakeManager *m = fake_manager_new(&script, t.socket);
        FakeManagerSeen seen;
        Client c;

        client_init(&c);
        cr_assert(client_ask(&c).known);
        client_done(&c);
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

CleanTest(bus, nothing_is_opened_before_the_first_question) {
        int n_fds = count_open_fds();
        Client c;

        client_init(&c);
        cr_assert_eq(count_open_fds(), n_fds + 1, "the loop's own");
        client_done(&c);
}

CleanTest(bus, one_connection_serves_all_questions) {
        FakeManagerScript script = { .delegate = true };
        FakeManager *m = fake_manager_new(&script, NULL);
        FakeManagerSeen seen;
        Client c;

        client_init(&c);
        for (unsigned i = 0; i < 3; i++)
                cr_assert(client_ask(&c).known);
        client_done(&c);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_messages, 4, "one greeting");
}

CleanTest(bus, connection_that_has_broken_is_made_anew) {
        FakeManagerScript script = { .delegate = true, .fault = FAKE_MANAGER_CLOSES, .fault_at = 2 };
        FakeManager *m = fake_manager_new(&script, NULL);
        FakeManagerSeen seen;
        Client c;
        Answer a;

        client_init(&c);
        a = client_ask(&c);
        cr_assert_not(a.known);
        cr_assert_eq(a.trouble.error, 0, "it could be asked");
        cr_assert_str_neq(a.trouble.text, "");
        cr_assert(client_ask(&c).known);
        client_done(&c);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_messages, 4, "two greetings");
}

CleanTest(bus, connection_may_break_while_nothing_is_asked) {
        FakeManagerScript script = { .delegate = true, .closes_after_answer = true };
        FakeManager *m = fake_manager_new(&script, NULL);
        FakeManagerSeen seen;
        Client c;

        client_init(&c);
        for (unsigned i = 0; i < 2; i++) {
                cr_assert(client_ask(&c).known, "%u", i);
                cr_assert_geq(event_turn(c.event, 1000000), 0); /* it breaks */
                event_run_idle(c.event);
        }
        client_done(&c);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_messages, 4, "two greetings");
}

CleanTest(bus, bus_that_does_not_let_us_in_gives_way_to_the_managers_own_socket) {
        static const FakeManagerFault faults[] = { FAKE_MANAGER_CLOSES, FAKE_MANAGER_REFUSES,
                                                   FAKE_MANAGER_SILENT };

        cr_assert_eq(setenv("SYSTEMD_BUS_TIMEOUT", "100ms", 1), 0);
        for (size_t i = 0; i < ELEMENTS(faults); i++) {
                FakeManagerScript bad = { .fault = faults[i], .fault_at = 1 }, good = { .delegate = true };
                Runtime t = runtime_new("systemd/private");
                FakeManager *bus_daemon, *manager;
                FakeManagerSeen seen;
                char path[160];
                Client c;

                (void)snprintf(path, sizeof path, "%s/bus", t.dir);
                bus_daemon = fake_manager_new(&bad, path);
                manager = fake_manager_new(&good, t.socket);
                client_init(&c);
                cr_assert(client_ask(&c).known, "fault %d", faults[i]);
                client_done(&c);
                fake_manager_finish(bus_daemon, &seen);
                cr_assert_eq(seen.n_messages, 1);
                fake_manager_finish(manager, NULL);
                cr_assert_eq(unlink(path), 0);
                runtime_free(&t);
        }
}

/* Somebody listens there who never says a word. */
CleanTest(bus, silent_socket_is_not_waited_for_without_end) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Runtime t = runtime_new("bus");
        uint64_t begun = event_now();
        int fd;
        Client c;
        Answer a = { 0 };
        UnitQuestion *q = NULL;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(fd, 0);
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s", t.socket);
        cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        cr_assert_eq(listen(fd, 1), 0);
        client_init(&c);
        cr_assert_eq(unit_ask(&q, c.bus, "baz.service", on_answer, &a), 0);
        cr_assert(event_run_until(c.event, 20, a.over));
        cr_assert_eq(a.trouble.error, -ETIMEDOUT);
        cr_assert_str_eq(a.trouble.text, "the user manager of uid 4294967000 does not respond");
        cr_assert_leq(event_now() - begun, 12000000);
        q = unit_question_free(q);
        client_done(&c);
        (void)close(fd);
        runtime_free(&t);
}

CleanTest(bus, no_user_manager_is_explained) {
        Runtime t = runtime_new("bus");
        Client c;
        Answer a;

        client_init(&c);
        a = client_ask(&c);
        cr_assert_eq(a.trouble.error, -ENOENT);
        cr_assert_str_eq(a.trouble.text, "the user manager of uid 4294967000 is not running "
                                         "(\"loginctl enable-linger 4294967000\" starts it)");
        client_done(&c);
        runtime_free(&t);
}

CleanTest(bus, a_runtime_directory_that_is_no_path_is_passed_over) {
        Client c;

        cr_assert_eq(setenv("XDG_RUNTIME_DIR", "", 1), 0);
        client_init(&c);
        cr_assert_eq(client_ask(&c).trouble.error, -ENOENT);
        client_done(&c);
}

CleanTest(bus, a_bus_is_of_one_manager) {
        Client c;

        client_init(&c);
        cr_assert(bus_belongs_to(c.bus, true, FAKE_MANAGER_UID));
        cr_assert_not(bus_belongs_to(c.bus, true, 0));
        cr_assert_not(bus_belongs_to(c.bus, false, FAKE_MANAGER_UID));
        client_done(&c);
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
