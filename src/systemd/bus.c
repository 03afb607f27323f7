/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bus of a systemd manager: the system's, or a user's, found without any help from the environment, since Podman
 * passes little of it on. After the bus comes the manager's private socket, which is there without a bus daemon (root
 * only for the system's).
 *
 * A connection that is handed out has been let in: authentication and, on a bus, the greeting are over. None of that
 * may take longer than OPEN_TIMEOUT_USEC, as a container waits for it. A call has the time-out of sd-bus, 25 s if the
 * environment says nothing else. In a user namespace nothing is special: sd-bus
 * lets the kernel say who we are.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "event/event.h"
#include "systemd/bus-connection.h"

#define OPEN_TIMEOUT_USEC (5 * 1000000ULL)

static int wait_until_ready(Bus *bus) {
        uint64_t end = event_now() + OPEN_TIMEOUT_USEC;
        int r;

        while ((r = sd_bus_is_ready(bus->connection)) == 0) {
                uint64_t now = event_now();

                if (now >= end)
                        return fail(-ETIMEDOUT);
                r = sd_bus_process(bus->connection, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus->connection, end - now);
                if (r < 0 && r != -EINTR)
                        return fail(r);
        }
        return r < 0 ? fail(r) : 0;
}

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

/* @address: NULL for the system bus, wherever that is */
static int start_connection(Bus *bus, const char *address, bool is_bus) {
        int r;

        if (!address) {
                r = sd_bus_open_system(&bus->connection);
                return r < 0 ? fail(r) : 0;
        }
        r = sd_bus_new(&bus->connection);
        if (r >= 0)
                r = sd_bus_set_address(bus->connection, address);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus->connection, is_bus);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus->connection, true);
        if (r >= 0)
                r = sd_bus_start(bus->connection);
        return r < 0 ? fail(r) : 0;
}

/* @path: of a socket; NULL for the system bus */
static int open_one(const char *path, bool is_bus, Bus **ret) {
        _cleanup_(bus_freep) Bus *bus = NULL;
        char address[3 * PATH_MAX + 16];
        int r;

        bus = calloc(1, sizeof *bus);
        if (!bus)
                return fail(-ENOMEM);
        if (path) {
                r = make_address(path, address, sizeof address);
                if (r < 0)
                        return relay(r);
        }
        r = start_connection(bus, path ? address : NULL, is_bus);
        if (r < 0)
                return relay(r);
        r = wait_until_ready(bus);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(bus);
        return 0;
}

static int open_user(uid_t uid, Bus **ret) {
        static const char *const sockets[] = { "bus", "systemd/private" };
        const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
        int error = -ENOENT;

        for (size_t i = 0; i < 2 * ELEMENTS(sockets); i++) {
                const char *name = sockets[i / 2];
                char path[PATH_MAX];
                int n, r;

                if (i % 2 == 1)
                        n = snprintf(path, sizeof path, "/run/user/%u/%s", uid, name);
                else if (runtime && runtime[0] == '/')
                        n = snprintf(path, sizeof path, "%s/%s", runtime, name);
                else
                        continue;
                if (n < 0 || (size_t)n >= sizeof path)
                        continue;
                r = open_one(path, i / 2 == 0, ret);
                if (r >= 0)
                        return 0;
                if (r != -ENOENT)
                        error = r;
        }
        return relay(error);
}

/**
 * bus_open() - connect to a manager
 * @user: the manager of @uid (as seen outside any user namespace), else the system's
 *
 * Blocks for as long as it takes to be let in, but not for ever. XDG_RUNTIME_DIR comes first, then /run/user/UID.
 *
 * Return: 0, or a negative errno for bus_explain(): that of the most telling of all attempts.
 */
int bus_open(bool user, uid_t uid, Bus **ret) {
        int r;

        if (user)
                return open_user(uid, ret);
        r = open_one(NULL, true, ret);
        if (r < 0 && open_one("/run/systemd/private", false, ret) >= 0)
                return 0;
        return r < 0 ? relay(r) : 0;
}

/**
 * bus_free() - close a connection; what is queued is not waited for
 */
Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        if (bus->connection)
                (void)sd_bus_close_unref(bus->connection);
        free(bus);
        return NULL;
}

/**
 * bus_explain() - what a failed bus_open() means, and what helps, in one line
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
