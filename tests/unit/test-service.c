/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "clean.h"
#include "core/service.h"

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
        char *argv[] = { (char *)"scopemon", (char *)"--service", (char *)"--bundle", NULL,
                         (char *)"--runtime", (char *)"/bin/true", NULL };
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
                uint64_t usec;
        } rows[] = {
                { NULL, NULL, 0, SIGTERM, SERVICE_STOP_USEC },
                { "SIGINT", NULL, 0, SIGINT, SERVICE_STOP_USEC },
                { "QUIT", "3", 0, SIGQUIT, 3000000 },
                { "15", "0", 0, SIGTERM, 0 },
                { "SIGNOTHING", NULL, -EINVAL, SIGTERM, SERVICE_STOP_USEC },
                { "0", NULL, -EINVAL, SIGTERM, SERVICE_STOP_USEC },
                { NULL, "soon", -EINVAL, SIGTERM, SERVICE_STOP_USEC },
                { NULL, "100000", -EINVAL, SIGTERM, SERVICE_STOP_USEC },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                ServiceStop stop;

                cr_assert_eq(service_stop_of(rows[i].signal, rows[i].time, &stop), rows[i].r, "row %zu", i);
                cr_assert_eq(stop.signal, rows[i].expected, "row %zu", i);
                cr_assert_eq(stop.usec, rows[i].usec, "row %zu", i);
        }
}
