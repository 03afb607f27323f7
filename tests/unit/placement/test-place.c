/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Placement as it is carried out: config.json before and after, and what the manager is asked for.
 * A test that needs a host of its own makes one: a mount namespace in which /proc says another
 * cgroup, /run holds what is wanted of systemd, and fake-manager listens. Without the right to that
 * it is content with less.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "placement/place.h"
#include "scopemon/protocol.h"

#define CID "0123456789abcdef"
#define SCOPE "libpod-" CID ".scope"
#define CONFIG                                                                                               \
        "{\"ociVersion\":\"1.0.2\",\"linux\":{\"cgroupsPath\":\"machine.slice:libpod:" CID "\"},\"x\":[1,2]" \
        "}"

typedef struct Site {
        char dir[64], config[128];
        Options options;
        Caller caller;
        PlacementPlan plan;
        PlaceText text;
        PlaceHold hold;
        Event *event;
        Placer *placer;
        bool placed;
        int result;
} Site;

static void write_text(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        cr_assert_geq(fd, 0, "%s: %m", path);
        cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
}

/* @config: NULL for none */
static void site_init(Site *s, const char *config) {
        *s = (Site){ .dir = "/tmp/test-place-XXXXXX" };
        cr_assert_not_null(mkdtemp(s->dir));
        (void)snprintf(s->config, sizeof s->config, "%s/config.json", s->dir);
        if (config)
                write_text(s->config, config);
        s->options = (Options){ .cid = CID,
                                .name = "baz",
                                .bundle = s->dir,
                                .systemd_cgroup = true,
                                .runtime = "/usr/bin/runc" };
        s->caller = (Caller){ .pidfd = -1 };
        cr_assert_eq(unsetenv(SCOPEMON_ENV_PLACEMENT), 0);
}

static void on_placed(void *userdata, int result) {
        Site *s = userdata;

        cr_assert_not(s->placed, "told twice");
        s->placed = true;
        s->result = result;
        s->placer = place_free(s->placer);
}

static void begin(Site *s) {
        PlaceSpec spec = { .options = &s->options,
                           .caller = &s->caller,
                           .plan = &s->plan,
                           .text = &s->text,
                           .hold = &s->hold };

        s->placed = false;
        cr_assert_eq(event_new(&s->event), 0);
        cr_assert_eq(place_new(&s->placer, s->event, &spec, on_placed, s), 0);
        place_start(s->placer);
}

static void end(Site *s) {
        s->placer = place_free(s->placer);
        s->event = event_unref(s->event);
}

static int place(Site *s) {
        begin(s);
        cr_assert(event_run_until(s->event, 30, s->placed));
        end(s);
        return s->result;
}

static bool config_has(const Site *s, const char *text) {
        _cleanup_free_ char *config = NULL;

        cr_assert_eq(fd_read_file(AT_FDCWD, s->config, 65536, &config, NULL), 0);
        return strstr(config, text);
}

static void check_untouched(const Site *s, const char *before) {
        _cleanup_free_ char *config = NULL;

        cr_assert_eq(fd_read_file(AT_FDCWD, s->config, 65536, &config, NULL), 0);
        cr_assert_str_eq(config, before);
}

static void site_done(Site *s) {
        (void)unlink(s->config);
        fd_close_many(&s->caller.pidfd, 1);
        cr_assert_eq(rmdir(s->dir), 0, "%s is not empty", s->dir);
}

/* ---- anywhere -------------------------------------------------------------------------------- */

CleanTest(place, exec_looks_at_nothing) {
        Site s;

        site_init(&s, "no JSON at all");
        s.options.exec = true;
        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, "nonsense", 1), 0);
        cr_assert_eq(place(&s), 0);
        cr_assert_eq(s.plan.row, PLACEMENT_ROW_EXEC);
        cr_assert(s.plan.systemd_cgroup);
        check_untouched(&s, "no JSON at all");
        site_done(&s);
}

CleanTest(place, callers_placement_is_left_alone_if_that_is_asked_for) {
        Site s;

        site_init(&s, CONFIG);
        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, SCOPEMON_PLACEMENT_CALLER, 1), 0);
        cr_assert_eq(place(&s), 0);
        cr_assert_eq(s.plan.row, PLACEMENT_ROW_AS_GIVEN);
        cr_assert_eq(s.plan.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_str_eq(s.text.trouble, "");
        check_untouched(&s, CONFIG);
        site_done(&s);

        site_init(&s, "{\"annotations\":{\"" SCOPEMON_ANNOTATION_PLACEMENT "\":\"caller\"}}");
        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, SCOPEMON_PLACEMENT_UNIT, 1), 0);
        cr_assert_eq(place(&s), 0, "the annotation is the container's own");
        cr_assert_eq(s.plan.row, PLACEMENT_ROW_AS_GIVEN);
        site_done(&s);
}

CleanTest(place, missing_config_is_the_runtimes_to_complain_of) {
        Site s;

        site_init(&s, NULL);
        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, SCOPEMON_PLACEMENT_CALLER, 1), 0);
        cr_assert_eq(place(&s), 0);
        site_done(&s);
}

/* The runtime speaks, not we. */
CleanTest(place, bundle_that_cannot_be_read_is_the_runtimes_to_judge) {
        static const char *const configs[] = { "{\"linux\":",      "[]", "{\"a\":NaN}", "{'a':1}",
                                               "{\"a\":Infinity}", NULL };

        for (size_t i = 0; i < ELEMENTS(configs); i++) {
                Site s;

                site_init(&s, configs[i]);
                if (!configs[i])
                        s.options.bundle = "/nonexistent-bundle";
                cr_assert_eq(place(&s), 0, "%s", configs[i]);
                cr_assert_eq(s.plan.container, PLACEMENT_CONTAINER_AS_GIVEN);
                cr_assert(strstr(s.text.trouble, configs[i] ? "config.json" : "/nonexistent-bundle"), "%s",
                          s.text.trouble);
                if (configs[i])
                        check_untouched(&s, configs[i]);
                cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, "bogus", 1), 0);
                cr_assert_eq(place(&s), PLACE_REFUSED, "a wish is somebody else's");
                site_done(&s);
        }
}

CleanTest(place, refusal_says_what_is_wrong) {
        static const struct {
                const char *config, *wish, *said;
        } cases[] = {
                { CONFIG, "nonsense", "nonsense" },
                { "{\"annotations\":{\"" SCOPEMON_ANNOTATION_PLACEMENT "\":\"bogus\"}}", "caller", "bogus" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Site s;

                site_init(&s, cases[i].config);
                if (cases[i].wish)
                        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, cases[i].wish, 1), 0);
                cr_assert_eq(place(&s), PLACE_REFUSED, "case %zu", i);
                cr_assert_not_null(strstr(s.text.refusal, cases[i].said), "%s", s.text.refusal);
                check_untouched(&s, cases[i].config);
                site_done(&s);
        }
}

/* ---- on a host of its own -------------------------------------------------------------------- */

#define MANAGER_SOCKET "/run/systemd/private"

/* False if we may not make one. @cgroup: where the test process is said to be. */
static bool host_make(const char *cgroup) {
        char path[64];

        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("run", "/run", "tmpfs", 0, NULL) < 0 ||
            mount("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
                return false;
        cr_assert_eq(mkdir("/run/systemd", 0755), 0);
        cr_assert_eq(mkdir("/run/systemd/system", 0755), 0);
        write_text("/run/cgroup", cgroup);
        (void)snprintf(path, sizeof path, "/proc/%d/cgroup", getpid());
        cr_assert_eq(mount("/run/cgroup", path, NULL, MS_BIND, NULL), 0, "%m");
        cr_assert_eq(unsetenv("DBUS_SYSTEM_BUS_ADDRESS"), 0);
        return true;
}

static void catch (int number) {
        (void)number;
}

/* The test process stands for the caller, too: one that passes signals on to the container. */
static void wait_in_foreground(Site *s) {
        static const int numbers[] = { SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU };

        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                cr_assert_neq(signal(numbers[i], catch), SIG_ERR);
        s->caller.pid = getpid();
        s->caller.pidfd = process_pidfd(getpid());
        cr_assert_geq(s->caller.pidfd, 0);
}

CleanTest(place, scope_of_the_container_is_bound_to_a_service) {
        FakeManagerScript script = { .type = "notify" };
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        site_init(&s, CONFIG);
        wait_in_foreground(&s);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_get_alls, 1);
        cr_assert_eq(seen.n_starts, 0, "the runtime makes its scope");
        cr_assert_eq(s.plan.row, PLACEMENT_ROW_BIND, "%s", s.plan.reason);
        cr_assert_str_eq(s.plan.container_scope, SCOPE);
        cr_assert(config_has(&s, "StopPropagatedFrom"));
        cr_assert_not(config_has(&s, "BindsTo"), "it would start the unit");
        cr_assert(config_has(&s, "web.service"));
        cr_assert(config_has(&s, "Container baz"));
        cr_assert(config_has(&s, "StopPropagatedFrom"));
        cr_assert(config_has(&s, "\"x\""), "every other member is kept");
        cr_assert_str_eq(s.text.trouble, "");
        site_done(&s);
}

/* That the scope does not hold us in this host is another matter. */
CleanTest(place, monitor_of_a_detached_container_asks_for_a_scope) {
        FakeManagerScript script = { .type = "oneshot" };
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        site_init(&s, CONFIG);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_get_alls, 1);
        cr_assert_eq(seen.n_starts, 1);
        cr_assert_str_eq(seen.unit, "libpod-conmon-" CID ".scope");
        cr_assert_not_null(strstr(s.plan.reason, "it outlives web.service"), "%s", s.plan.reason);
        cr_assert_not(config_has(&s, "BindsTo"));
        cr_assert(config_has(&s, "Container baz"));
        site_done(&s);
}

CleanTest(place, limit_that_does_not_bind_the_container_is_told) {
        FakeManagerScript script = { .type = "notify", .memory_max = 4096, .denies = true };
        FakeManager *m;
        Site s;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        site_init(&s, CONFIG);
        wait_in_foreground(&s);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, NULL);
        cr_assert_str_eq(
                s.text.problem,
                "MemoryMax=, IPAddressDeny=, DevicePolicy= of web.service does not apply to the container");
        cr_assert_str_eq(s.text.remedy, "set Delegate=yes in the unit");
        cr_assert_str_eq(s.text.trouble, "");
        site_done(&s);
}

/* The annotation counts; what is no boolean is told. There has to be a manager, whose machined it would be. */
CleanTest(place, wish_to_be_a_machine) {
        static const struct {
                const char *annotation, *variable;
                bool machine, told;
        } cases[] = {
                { NULL, NULL, false, false },   { "yes", NULL, true, false },
                { NULL, "yes", true, false },   { "no", "yes", false, false },
                { "true", "no", true, false },  { "maybe", "yes", false, true },
                { NULL, "maybe", false, true },
        };

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char config[160] = "{}";
                Site s;

                if (cases[i].annotation)
                        (void)snprintf(config, sizeof config, "{\"annotations\":{\"%s\":\"%s\"}}",
                                       SCOPEMON_ANNOTATION_MACHINE, cases[i].annotation);
                site_init(&s, config);
                cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, SCOPEMON_PLACEMENT_CALLER, 1), 0);
                cr_assert_eq(unsetenv(SCOPEMON_ENV_MACHINE), 0);
                if (cases[i].variable)
                        cr_assert_eq(setenv(SCOPEMON_ENV_MACHINE, cases[i].variable, 1), 0);
                cr_assert_eq(place(&s), 0);
                cr_assert_eq(s.plan.machine, cases[i].machine, "case %zu", i);
                cr_assert_eq(strstr(s.text.problem, "of \"maybe\" is no boolean") != NULL, cases[i].told,
                             "case %zu: %s", i, s.text.problem);
                s.options.exec = true;
                cr_assert_eq(place(&s), 0);
                cr_assert_not(s.plan.machine, "an exec session is none");
                site_done(&s);
        }
        cr_assert_eq(unsetenv(SCOPEMON_ENV_MACHINE), 0);
}

static void expect_told_of_survival(bool survives, bool ignores_isolate, const char *problem) {
        FakeManagerScript script = { .type = "notify",
                                     .survives = survives,
                                     .ignores_isolate = ignores_isolate };
        FakeManager *m;
        Site s;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        site_init(&s, CONFIG);
        wait_in_foreground(&s);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, NULL);
        cr_assert_str_eq(s.text.problem, problem);
        cr_assert_eq(s.text.remedy[0] != 0, survives);
        site_done(&s);
}

CleanTest(place, survival_that_nobody_asked_for_is_not_missed) {
        expect_told_of_survival(false, false, "");
}

CleanTest(place, survival_that_lacks_something_is_told) {
        expect_told_of_survival(true, true,
                                "SurviveFinalKillSignal=yes of web.service has no effect without "
                                "DefaultDependencies=no");
}

CleanTest(place, survival_that_lacks_everything_is_told) {
        expect_told_of_survival(true, false,
                                "SurviveFinalKillSignal=yes of web.service has no effect without "
                                "DefaultDependencies=no and IgnoreOnIsolate=yes");
}

CleanTest(place, manager_that_is_not_there_is_done_without) {
        Site s;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        site_init(&s, CONFIG);
        cr_assert_eq(place(&s), 0);
        cr_assert_eq(s.plan.row, PLACEMENT_ROW_NO_MANAGER);
        cr_assert_eq(s.plan.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert(s.plan.systemd_cgroup);
        cr_assert_str_neq(s.text.trouble, "");
        cr_assert_str_eq(s.text.problem, s.text.trouble);
        cr_assert_str_eq(s.text.remedy, "systemctl start dbus.socket");
        check_untouched(&s, CONFIG);
        site_done(&s);
}

CleanTest(place, scope_that_does_not_hold_us_is_no_scope) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/user.slice/user-0.slice/session-1.scope\n"))
                return;
        site_init(&s, CONFIG);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_starts, 1);
        cr_assert_str_eq(seen.unit, "libpod-conmon-" CID ".scope");
        cr_assert_eq(s.plan.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_not_null(strstr(s.text.trouble, "the monitor is not in it"), "%s", s.text.trouble);
        site_done(&s);
}

/* The one who stays in that scope is not in what /proc is made to say here, so all is as if it had not been made. */
CleanTest(place, scope_of_ours_that_cannot_be_had_is_left_to_the_runtime) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/machine.slice/libpod-conmon-" CID ".scope\n"))
                return;
        site_init(&s, CONFIG);
        s.options.runtime = "/bin/true"; /* which knows no annotations */
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_starts, 1);
        cr_assert_str_eq(seen.unit, SCOPE);
        cr_assert_not_null(strstr(seen.properties, " After "), "%s", seen.properties);
        cr_assert_eq(s.plan.row, PLACEMENT_ROW_MOVED);
        cr_assert(s.plan.systemd_cgroup);
        cr_assert_not(s.plan.make_scope);
        cr_assert_not_null(strstr(s.text.trouble, "Cannot create a scope for the container"), "%s",
                           s.text.trouble);
        cr_assert(config_has(&s, "machine.slice:libpod:" CID));
        cr_assert(config_has(&s, "Container baz"));
        cr_assert_eq(s.hold.end_fd, -1);
        cr_assert_eq(s.hold.procs_fd, -1);
        site_done(&s);
}

CleanTest(place, refused_scope_is_told_and_done_without) {
        FakeManagerScript script = { .refuse = "not today" };
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/user.slice/user-0.slice/session-1.scope\n"))
                return;
        site_init(&s, CONFIG);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        cr_assert_eq(place(&s), 0);
        fake_manager_finish(m, &seen);
        cr_assert_eq(s.plan.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_not_null(strstr(s.text.trouble, "not today"), "%s", s.text.trouble);
        site_done(&s);
}

CleanTest(place, wish_that_cannot_be_met_is_an_error) {
        Site s;

        if (!host_make("0::/user.slice/user-0.slice/session-1.scope\n"))
                return;
        site_init(&s, CONFIG);
        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, SCOPEMON_PLACEMENT_UNIT, 1), 0);
        cr_assert_eq(place(&s), PLACE_REFUSED);
        cr_assert_not_null(strstr(s.text.refusal, "service"), "%s", s.text.refusal);
        check_untouched(&s, CONFIG);
        site_done(&s);
}

/* ---- a manager that fails at some message ---------------------------------------------------- */

#define BUS_SOCKET "/run/bus"

enum { HELLO = 1, GET_ALL, ADD_MATCH, START_UNIT, JOB_REMOVED };

/* Return: how many messages there were. */
static unsigned place_with_fault(FakeManagerFault fault, unsigned at) {
        FakeManagerScript script = { .type = "oneshot", .fault = fault, .fault_at = at };
        uint64_t begun = event_now();
        int n_fds = count_open_fds();
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        site_init(&s, CONFIG);
        m = fake_manager_new(&script, BUS_SOCKET);
        cr_assert_eq(place(&s), 0, "fault %d at %u: %s", fault, at, s.text.refusal);
        cr_assert_lt(event_now() - begun, 10000000, "fault %d at %u", fault, at);
        fake_manager_finish(m, &seen);

        cr_assert_eq(s.plan.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert(s.plan.systemd_cgroup);
        cr_assert_str_neq(s.text.trouble, "", "fault %d at %u", fault, at);
        if (at >= HELLO && at <= GET_ALL) {
                cr_assert_not_null(strstr(s.plan.reason, "nothing is changed"), "%s", s.plan.reason);
                check_untouched(&s, CONFIG);
        } else {
                cr_assert_not_null(strstr(s.plan.reason, "its scope could not be created"), "%s",
                                   s.plan.reason);
                cr_assert(config_has(&s, "machine.slice:libpod:" CID));
        }
        cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
        place_let_go(&s.hold);
        site_done(&s);
        cr_assert_eq(unlink(BUS_SOCKET), 0);
        cr_assert_eq(count_open_fds(), n_fds, "fault %d at %u", fault, at);
        return seen.n_messages;
}

/* Whatever happens, the container starts, and what could not be had is said. */
CleanTest(place, manager_may_fail_at_each_message) {
        unsigned n;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        cr_assert_eq(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" BUS_SOCKET, 1), 0);
        cr_assert_eq(setenv("SYSTEMD_BUS_TIMEOUT", "200ms", 1), 0);
        n = place_with_fault(FAKE_MANAGER_NO_FAULT, 0);
        cr_assert_geq(n, JOB_REMOVED);
        for (unsigned at = HELLO; at <= n; at++) {
                (void)place_with_fault(FAKE_MANAGER_CLOSES, at);
                (void)place_with_fault(FAKE_MANAGER_REFUSES, at);
                if (at != START_UNIT && at != JOB_REMOVED) /* a job has 25 s: test-scope */
                        (void)place_with_fault(FAKE_MANAGER_SILENT, at);
        }
}

/* ---- while the manager is asked -------------------------------------------------------------- */

CleanTest(place, exec_and_callers_wish_need_no_loop) {
        Site s;

        site_init(&s, CONFIG);
        s.options.exec = true;
        begin(&s);
        cr_assert(s.placed);
        end(&s);
        s.options.exec = false;
        cr_assert_eq(setenv(SCOPEMON_ENV_PLACEMENT, SCOPEMON_PLACEMENT_CALLER, 1), 0);
        begin(&s);
        cr_assert(s.placed);
        end(&s);
        site_done(&s);
}

/* Whoever hears of the result has what holds a scope, and lets go of it in his own time. */
static void on_placed_with_hold(void *userdata, int result) {
        Site *s = userdata;

        s->hold.end_fd = fd_open_null(O_RDWR); /* as if there was one */
        s->placer = place_free(s->placer);
        s->placed = true;
}

CleanTest(place, what_holds_a_scope_stays_with_the_result) {
        Site s;
        PlaceSpec spec = {
                .options = &s.options, .caller = &s.caller, .plan = &s.plan, .text = &s.text, .hold = &s.hold
        };

        site_init(&s, NULL);
        s.options.exec = true;
        cr_assert_eq(event_new(&s.event), 0);
        cr_assert_eq(place_new(&s.placer, s.event, &spec, on_placed_with_hold, &s), 0);
        place_start(s.placer);
        cr_assert(s.placed);
        cr_assert_geq(fcntl(s.hold.end_fd, F_GETFD), 0, "it was closed");
        place_let_go(&s.hold);
        end(&s);
        site_done(&s);
}

static int count(Timer *timer, void *userdata) {
        ++*(unsigned *)userdata;
        timer_set(timer, 1000);
        return 0;
}

/* The loop turns, nothing is changed, and nobody has to wait for it. */
CleanTest(place, manager_that_never_answers_holds_nobody_up) {
        FakeManagerScript script = { .silent = true };
        unsigned n_turns = 0;
        Timer *timer = NULL;
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/system.slice/web.service\n"))
                return;
        site_init(&s, CONFIG);
        m = fake_manager_new(&script, MANAGER_SOCKET);
        begin(&s);
        cr_assert_eq(event_add_timer(s.event, &timer, 0, count, &n_turns), 0);
        cr_assert(event_run_until(s.event, 10, n_turns > 100));
        cr_assert_not(s.placed);
        check_untouched(&s, CONFIG);
        timer = timer_free(timer);
        end(&s);
        cr_assert_not(s.placed);
        fake_manager_finish(m, &seen);
        cr_assert_eq(seen.n_get_alls, 1);
        cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
        site_done(&s);
}

/* Nor does anybody stay in a scope that may never be. */
CleanTest(place, scope_of_the_container_may_be_given_up) {
        FakeManagerScript script = { .no_removal = true };
        FakeManagerSeen seen;
        FakeManager *m;
        Site s;

        if (!host_make("0::/machine.slice/libpod-conmon-" CID ".scope\n"))
                return;
        site_init(&s, CONFIG);
        s.options.runtime = "/bin/true"; /* which knows no annotations */
        m = fake_manager_new(&script, MANAGER_SOCKET);
        begin(&s);
        cr_assert(event_run_until(s.event, 10, s.hold.end_fd >= 0), "somebody waits in the scope");
        for (unsigned i = 0; i < 10; i++)
                cr_assert_geq(event_turn(s.event, 10000), 0);
        cr_assert_not(s.placed);
        end(&s);
        fake_manager_finish(m, &seen);
        cr_assert_eq(s.hold.end_fd, -1);
        while (waitpid(-1, NULL, 0) > 0) /* whoever is left ends */
                ;
        check_untouched(&s, CONFIG);
        site_done(&s);
}

/* One that nobody knows, and that does not know what it is asked. */
CleanTest(place, runtime_that_never_answers_holds_nobody_up) {
        unsigned n_turns = 0;
        Timer *timer = NULL;
        char runtime[128];
        Site s;

        if (!host_make("0::/machine.slice/libpod-conmon-" CID ".scope\n"))
                return;
        site_init(&s, CONFIG);
        (void)snprintf(runtime, sizeof runtime, "%s/anything", s.dir);
        write_text(runtime, "#!/bin/sh\nexec sleep 1000\n");
        cr_assert_eq(chmod(runtime, 0755), 0);
        s.options.runtime = runtime;
        begin(&s);
        cr_assert_eq(event_add_timer(s.event, &timer, 0, count, &n_turns), 0);
        cr_assert(event_run_until(s.event, 10, n_turns > 100));
        cr_assert_not(s.placed);
        timer = timer_free(timer);
        end(&s);
        while (waitpid(-1, NULL, 0) > 0) /* it is not waited for */
                ;
        check_untouched(&s, CONFIG);
        cr_assert_eq(unlink(runtime), 0);
        site_done(&s);
}
