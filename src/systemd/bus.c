/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bus of a systemd manager: the system's, or a user's, found without any help from the environment, since Podman
 * passes little of it on. After the bus comes the manager's private socket, which is there without a bus daemon (root
 * only for the system's).
 *
 * It is opened by the first question, attached to the loop, and nothing blocks. An address that nobody listens at fails
 * at once. One that fails later (in authentication, or in the greeting), or that is silent for SILENT_USEC, gives way
 * to the next one; all of that may take OPEN_USEC, as a container waits for it. A question is put when the connection
 * has been let in. If it breaks afterwards, that is the end of the question under way; the next one opens it anew.
 *
 * sd-bus calls its callbacks from within its own work on the connection, which must not go away below it. So nobody is
 * given an answer in there: a question ends in a timer of its own, and whoever hears of that may free the Bus.
 *
 * A call has the time-out of sd-bus, 25 s if the environment says nothing else. In a user namespace nothing is special:
 * sd-bus lets the kernel say who we are.
 */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "systemd/bus-connection.h"

#define SILENT_USEC 5000000ULL
#define OPEN_USEC 10000000ULL
#define LOCAL "org.freedesktop.DBus.Local"

struct Bus {
        Event *event;
        bool user; /* the manager of @uid, else the system's */
        uid_t uid;
        sd_bus *connection;
        bool open;         /* it has been let in, and has not broken since */
        unsigned n_tried;  /* addresses */
        int error;         /* the most telling of those that failed */
        uint64_t deadline; /* for one of them to let us in */
        bool refused;      /* none of them has: the next question has the same answer */
        Timer *timer;
        const BusAsker *asker; /* NULL: nothing is asked */
        void *userdata;
};

/* ---- addresses ---------------------------------------------------------------------------------------- */

/* "unix:path=" with what the syntax of addresses does not allow in a value written as %XX */
static int make_address(const char *path, char *out, size_t size) {
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.\\*";
        size_t n;

        n = (size_t)snprintf(out, size, "unix:path=");
        for (; *path; path++) {
                if (n + 4 > size)
                        return fail(-ENAMETOOLONG);
                n += (size_t)snprintf(out + n, size - n, strchr(plain, *path) ? "%c" : "%%%02x",
                                      (unsigned char)*path);
        }
        return 0;
}

/* Return: 0, or -ENOENT if there is no such address. */
static int find_user_address(uid_t uid, unsigned number, char *out, size_t size) {
        const char *runtime = secure_getenv("XDG_RUNTIME_DIR"),
                   *name = number < 2 ? "bus" : "systemd/private";
        char usual[32], path[PATH_MAX];
        int n;

        (void)snprintf(usual, sizeof usual, "/run/user/%u", uid);
        if (number % 2 == 1)
                runtime = usual;
        else if (!runtime || runtime[0] != '/' || strcmp(runtime, usual) == 0)
                return -ENOENT; /* there is nothing to try */
        n = snprintf(path, sizeof path, "%s/%s", runtime, name);
        if (n < 0 || (size_t)n >= sizeof path)
                return -ENOENT;
        return make_address(path, out, size);
}

static void find_system_address(unsigned number, char *out, size_t size) {
        const char *said = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");

        (void)snprintf(out, size, "%s",
                       number > 0 ? "unix:path=/run/systemd/private"
                       : said     ? said
                                  : "unix:path=/run/dbus/system_bus_socket");
}

static bool has_next_address(const Bus *b) {
        return b->n_tried < (b->user ? 4 : 2);
}

/* What is told of several failures: of the system's manager the first, of the bus; of a user's the last one of an address that is there. */
static void note_error(Bus *b, int error) {
        if (b->error == 0 || (b->user && error != -ENOENT))
                b->error = error;
}

/* ---- the connection ----------------------------------------------------------------------------------- */

static void drop_connection(Bus *b) {
        b->open = false;
        timer_set(b->timer, TIMER_NEVER);
        if (!b->connection)
                return;
        (void)sd_bus_detach_event(b->connection);
        b->connection = sd_bus_close_unref(b->connection);
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;

        b->open = true;
        timer_set(b->timer, TIMER_NEVER);
        if (b->asker)
                b->asker->on_open(b->userdata, b->connection);
        return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;

        if (!b->open) {
                timer_set(b->timer, 0); /* the next one */
                return 0;
        }
        b->open = false;
        if (b->asker)
                b->asker->on_broken(b->userdata,
                                    &(BusTrouble){ .text = "the manager closed the connection" });
        return 0;
}

static int prepare(Bus *b, const char *address, bool is_bus) {
        static const struct {
                const char *signal;
                sd_bus_message_handler_t handler;
        } signals[] = { { "Connected", on_connected }, { "Disconnected", on_disconnected } };
        int r;

        r = sd_bus_new(&b->connection);
        if (r >= 0)
                r = sd_bus_set_address(b->connection, address);
        if (r >= 0)
                r = sd_bus_set_bus_client(b->connection, is_bus);
        if (r >= 0)
                r = sd_bus_set_connected_signal(b->connection, true);
        if (r >= 0)
                r = sd_bus_set_close_on_exit(b->connection,
                                             false); /* which would flush it first, and block */
        for (size_t i = 0; r >= 0 && i < ELEMENTS(signals); i++)
                r = sd_bus_match_signal_async(b->connection, NULL, LOCAL, NULL, LOCAL, signals[i].signal,
                                              signals[i].handler, NULL, b);
        return r < 0 ? fail(r) : 0;
}

/* Return: 0, or a negative errno: of nobody who listens, mostly. */
static int open_next(Bus *b) {
        char address[3 * PATH_MAX + 16];
        unsigned number = b->n_tried++;
        bool is_bus = number < (b->user ? 2 : 1);
        int r = 0;

        if (b->user)
                r = find_user_address(b->uid, number, address, sizeof address);
        else
                find_system_address(number, address, sizeof address);
        if (r < 0)
                return relay(r);
        r = prepare(b, address, is_bus);
        if (r >= 0)
                r = sd_bus_start(b->connection);
        if (r >= 0)
                r = sd_bus_attach_event(b->connection, event_loop(b->event), SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                drop_connection(b);
        return r < 0 ? fail(r) : 0;
}

/* Connects to the next address that takes us, or gives up. */
static void try_next(Bus *b) {
        BusTrouble trouble = { 0 };
        uint64_t now = event_now();

        drop_connection(b);
        while (has_next_address(b) && now < b->deadline) {
                uint64_t left = b->deadline - now;
                int r;

                r = open_next(b);
                if (r >= 0) {
                        timer_set(b->timer, left < SILENT_USEC ? left : SILENT_USEC);
                        return;
                }
                note_error(b, r);
        }
        b->refused = true;
        if (!b->asker)
                return;
        trouble.error = b->error;
        bus_explain(b->error, b->user, b->uid, trouble.text, sizeof trouble.text);
        b->asker->on_broken(b->userdata, &trouble);
}

/* The address that is being tried has failed, or is silent. */
static int bus_on_time(Timer *timer, void *userdata) {
        Bus *b = userdata;

        note_error(b, sd_bus_is_open(b->connection) > 0 ? -ETIMEDOUT : -ECONNRESET);
        try_next(b);
        return 0;
}

/**
 * bus_new() - the manager of @uid (as seen outside any user namespace) with @user, else the system's
 *
 * XDG_RUNTIME_DIR comes first, then /run/user/UID. Nothing is opened before the first question.
 *
 * Return: 0 or -ENOMEM.
 */
int bus_new(Bus **ret, Event *event, bool user, uid_t uid) {
        _cleanup_(bus_freep) Bus *b = NULL;
        int r;

        b = calloc(1, sizeof *b);
        if (!b)
                return fail(-ENOMEM);
        b->event = event_ref(event);
        b->user = user;
        b->uid = uid;
        r = event_add_timer(event, &b->timer, TIMER_NEVER, bus_on_time, b);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(b);
        return 0;
}

/**
 * bus_free() - close the connection; what is queued is not waited for
 *
 * Not from within a callback of sd-bus: see above.
 *
 * Return: NULL.
 */
Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        if (b->timer)
                drop_connection(b);
        b->timer = timer_free(b->timer);
        b->event = event_unref(b->event);
        free(b);
        return NULL;
}

/**
 * bus_belongs_to() - is it the bus of this manager? As for bus_new().
 */
bool bus_belongs_to(const Bus *b, bool user, uid_t uid) {
        return b->user == user && (!user || b->uid == uid);
}

/**
 * bus_event() - the loop that it is on, borrowed
 */
Event *bus_event(Bus *b) {
        return b->event;
}

/**
 * bus_ask() - get a connection for a question
 * @asker: must outlive it
 */
void bus_ask(Bus *b, const BusAsker *asker, void *userdata) {
        assert(!b->asker);
        b->asker = asker;
        b->userdata = userdata;
        if (b->open && sd_bus_is_ready(b->connection) > 0) { /* it may be closing: we hear of that at last */
                asker->on_open(userdata, b->connection);
                return;
        }
        if (!b->refused) {
                b->n_tried = 0;
                b->error = 0;
                b->deadline = event_now() + OPEN_USEC;
        }
        try_next(b);
}

/**
 * bus_forget() - the question is over; the connection stays for the next one
 */
void bus_forget(Bus *b) {
        b->asker = NULL;
        if (!b->open)
                drop_connection(b);
}

/**
 * bus_explain() - what an error of a BusTrouble means, and what helps, in one line
 */
void bus_explain(int error, bool user, uid_t uid, char *ret, size_t size) {
        char whose[64];

        if (user)
                (void)snprintf(whose, sizeof whose, "the user manager of uid %u", uid);
        else
                (void)snprintf(whose, sizeof whose, "the system manager");

        if (error == -ENOENT && user)
                (void)snprintf(ret, size, "%s is not running (\"loginctl enable-linger %u\" starts it)",
                               whose, uid);
        else if (error == -ENOENT || error == -ECONNREFUSED)
                (void)snprintf(ret, size, "%s is unreachable: nothing listens on its bus socket", whose);
        else if (error == -EACCES || error == -EPERM)
                (void)snprintf(ret, size, "%s denied access: %s", whose, strerror(-error));
        else if (error == -ETIMEDOUT)
                (void)snprintf(ret, size, "%s does not respond", whose);
        else
                (void)snprintf(ret, size, "%s is unreachable: %s", whose, strerror(-error));
}

/**
 * bus_is_no_answer() - whether an error means that time has run out, or that the connection has ended
 *
 * Versions of sd-bus have different words for that.
 */
bool bus_is_no_answer(const sd_bus_error *e) {
        int error = sd_bus_error_get_errno(e);

        return error == ETIMEDOUT || error == ECONNRESET || error == ENOTCONN || error == EPIPE ||
               error == ESHUTDOWN || sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) ||
               sd_bus_error_has_name(e, SD_BUS_ERROR_DISCONNECTED);
}
