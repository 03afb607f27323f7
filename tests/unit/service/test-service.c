/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "clean.h"
#include "service/service.h"

/* A bundle, and a directory for the state, below one that is removed at the end. */
typedef struct Place {
        char top[64], bundle[96], state[96];
} Place;

static void place_make(Place *p, const char *config) {
        (void)snprintf(p->top, sizeof p->top, "/tmp/test-service-XXXXXX");
        cr_assert_not_null(mkdtemp(p->top));
        (void)snprintf(p->bundle, sizeof p->bundle, "%s/web", p->top);
        (void)snprintf(p->state, sizeof p->state, "%s/state", p->top);
        cr_assert_eq(mkdir(p->bundle, 0700), 0);
        cr_assert_eq(setenv("RUNTIME_DIRECTORY", p->state, 1), 0);
        if (config) {
                char path[128];

                (void)snprintf(path, sizeof path, "%s/config.json", p->bundle);
                cr_assert_eq(fd_write_file_atomic(AT_FDCWD, path, config, strlen(config), 0600), 0);
        }
}

static void place_remove(Place *p) {
        char command[128];

        (void)unsetenv("RUNTIME_DIRECTORY");
        (void)snprintf(command, sizeof command, "rm -rf %s", p->top);
        cr_assert_eq(system(command), 0);
}

static bool has_pair(char **argv, const char *name, const char *value) {
        const char *last = NULL;

        for (size_t i = 0; argv[i]; i++)
                if (strcmp(argv[i], name) == 0)
                        last = argv[i + 1];
        return last && strcmp(last, value) == 0;
}

static bool has_word(char **argv, const char *word) {
        for (size_t i = 0; argv[i]; i++)
                if (strcmp(argv[i], word) == 0)
                        return true;
        return false;
}

Test(service, bundle_becomes_a_whole_command_line) {
        char *argv[] = { (char *)"scopemon",
                         (char *)"--service",
                         (char *)"--bundle",
                         NULL,
                         (char *)"--runtime",
                         (char *)"/bin/true",
                         NULL };
        _cleanup_free_ char *text = NULL;
        char **words, path[128];
        Options o = { 0 };
        Place p;
        int n;

        place_make(&p, "{\"root\":{\"path\":\"rootfs\"},\"process\":{\"terminal\":true}}");
        argv[3] = p.bundle;
        cr_assert(service_is_wanted(6, argv));
        cr_assert_eq(service_expand(6, argv, &n, &words), 0);
        cr_assert(has_pair(words, "--bundle", p.state), "the copy counts");
        cr_assert(has_pair(words, "--name", "web"));
        cr_assert(has_pair(words, "--runtime", "/bin/true"));
        cr_assert(has_word(words, "--terminal"), "as the bundle says");
        cr_assert_eq(options_parse(n, words, &o), 0);
        cr_assert_eq(options_check(&o), 0);
        cr_assert_eq(options_check_log(&o), 0, "a short name is fine");
        cr_assert(o.service && o.sync && o.log_targets.journald);

        (void)snprintf(path, sizeof path, "%s/config.json", p.state);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
        (void)snprintf(path, sizeof path, "%s/rootfs", p.bundle);
        cr_assert(strstr(text, "rootfs") && !strstr(text, ":\"rootfs\""), "%s", text);
        options_done(&o);
        place_remove(&p);
}

Test(service, missing_bundle_or_config_is_said) {
        char *argv[] = { (char *)"scopemon", (char *)"--service", (char *)"--bundle", NULL, NULL };
        char **words;
        Place p;
        int n;

        place_make(&p, NULL);
        argv[3] = p.bundle;
        cr_assert_lt(service_expand(2, argv, &n, &words), 0, "no bundle given");
        cr_assert_lt(service_expand(4, argv, &n, &words), 0, "no config.json");
        argv[3] = p.state;
        cr_assert_lt(service_expand(4, argv, &n, &words), 0, "no such directory");
        place_remove(&p);
}

CleanTest(service, only_the_first_word_asks_for_it) {
        char *argv[] = { (char *)"scopemon", (char *)"--name", (char *)"--service", NULL };

        cr_assert_not(service_is_wanted(3, argv));
        cr_assert_not(service_is_wanted(1, argv));
}

CleanTest(service, runtime_does_not_see_what_is_between_systemd_and_us) {
        char *envp[] = { (char *)"PATH=/bin", (char *)"NOTIFY_SOCKET=/run/x", (char *)"WATCHDOG_USEC=5",
                         (char *)"NOTIFY_SOCKETS=1", NULL };
        char **copy = service_environment(envp);

        cr_assert_str_eq(copy[0], "PATH=/bin");
        cr_assert_str_eq(copy[1], "NOTIFY_SOCKETS=1");
        cr_assert_null(copy[2]);
        free(copy);
}

CleanTest(service, stop_signal_and_time) {
        static const struct {
                const char *signal, *time;
                int r, expected;
                uint64_t usec, unit_usec;
        } rows[] = {
                { NULL, NULL, 0, SIGTERM, 28000000, 30000000 },
                { NULL, NULL, 0, SIGTERM, 2250000, 3000000 },
                { NULL, NULL, 0, SIGTERM, 3 * 86400000000ULL - 2000000, 3 * 86400000000ULL },
                { NULL, NULL, 0, SIGTERM, UINT64_MAX, UINT64_MAX },
                { NULL, "60", 0, SIGTERM, 60000000, 30000000 },
                { NULL, NULL, 0, SIGTERM, SERVICE_STOP_USEC, 0 },
                { "SIGINT", NULL, 0, SIGINT, SERVICE_STOP_USEC, 0 },
                { "QUIT", "3", 0, SIGQUIT, 3000000, 0 },
                { "15", "0", 0, SIGTERM, 0, 0 },
                { "SIGNOTHING", NULL, -EINVAL, SIGTERM, SERVICE_STOP_USEC, 0 },
                { "0", NULL, -EINVAL, SIGTERM, SERVICE_STOP_USEC, 0 },
                { NULL, "soon", -EINVAL, SIGTERM, SERVICE_STOP_USEC, 0 },
                { NULL, "100000", -EINVAL, SIGTERM, SERVICE_STOP_USEC, 0 },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                ServiceStop stop;

                cr_assert_eq(service_stop_of(rows[i].signal, rows[i].time, rows[i].unit_usec, &stop),
                             rows[i].r, "row %zu", i);
                cr_assert_eq(stop.signal, rows[i].expected, "row %zu", i);
                cr_assert_eq(stop.usec, rows[i].usec, "row %zu", i);
        }
}

/* The copy of a bundle that says @annotation, made with @option; "" if that fails. */
static char *expanded(const char *annotation, const char *option, bool *ret_relay) {
        char *argv[] = { (char *)"scopemon",
                         (char *)"--service",
                         (char *)"--bundle",
                         NULL,
                         (char *)"--sdnotify",
                         (char *)option,
                         NULL };
        char **words, path[128], config[256], *text = NULL;
        Place p;
        int n;

        (void)snprintf(config, sizeof config,
                       "{\"process\":{\"env\":[\"A=b\"]},\"annotations\":{\"%s\":\"%s\"}}",
                       annotation ? "io.scopemon.sdnotify" : "x", annotation ? annotation : "y");
        place_make(&p, config);
        argv[3] = p.bundle;
        if (service_expand(option ? 6 : 4, argv, &n, &words) < 0) {
                place_remove(&p);
                return strdup("");
        }
        *ret_relay = has_pair(words, "--sdnotify-socket", "/run/systemd/notify");
        (void)snprintf(path, sizeof path, "%s/config.json", p.state);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
        (void)snprintf(path, sizeof path, "%s/notify", p.state);
        cr_assert_eq(access(path, F_OK) == 0, *ret_relay, "a directory for the socket");
        place_remove(&p);
        return text;
}

Test(service, container_may_say_itself_that_it_is_ready) {
        static const struct {
                const char *annotation, *option;
                bool relay, fails;
        } rows[] = {
                { NULL, NULL, false, false },           { "conmon", NULL, false, false },
                { "container", NULL, true, false },     { "container", "conmon", false, false },
                { NULL, "container", true, false },     { "nobody", NULL, false, true },
                { "container", "nobody", false, true },
        };

        cr_assert_eq(setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1), 0);
        cr_assert_eq(setenv("WATCHDOG_USEC", "5000000", 1), 0);
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                bool relay = false;
                char *text = expanded(rows[i].annotation, rows[i].option, &relay);

                cr_assert_eq(relay, rows[i].relay, "row %zu: %s", i, text);
                cr_assert_eq(text[0] == 0, rows[i].fails, "row %zu: %s", i, text);
                cr_assert_eq(strstr(text, "\"A=b\",\"NOTIFY_SOCKET=/run/notify/"
                                          "notify.sock\",\"WATCHDOG_USEC=5000000\"") != NULL,
                             relay, "row %zu: %s", i, text);
                cr_assert_eq(strstr(text, "\"destination\":\"/run/notify\"") != NULL, relay, "row %zu: %s", i,
                             text);
                free(text);
        }
        (void)unsetenv("NOTIFY_SOCKET");
        (void)unsetenv("WATCHDOG_USEC");
}
