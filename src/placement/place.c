/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Placement, carried out. placement_decide() is pure; here are its eyes and hands: where we are, what the bundle asks
 * for, what the manager knows, and then the moves, the scope calls and the new members of config.json.
 *
 * The caller may be moving us until it sends the start byte, so all of this comes after it. Whatever fails on the way
 * is a fact too, and the next plan is made with it; only a wish that cannot be met is an error for the caller.
 *
 * It goes step by step (place_go_on()), and rests where somebody is asked: the manager, or a runtime that nobody knows
 * (by a child). The loop turns then, and the answer takes the next step. Nothing is moved, made or written meanwhile.
 * There is one connection at most, opened by the first question and closed before anybody is told of the result: an idle
 * monitor keeps none, nor what it took to make one (but for one whose unit is watched: unit_stop_watch()).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "io/cgroup.h"
#include "io/proc.h"
#include "oci/features.h"
#include "oci/runtime.h"
#include "placement/place-internal.h"
#include "scopemon/protocol.h"
#include "wire/cgtext.h"

#define DEFAULT_TASKS_PERCENT 15
#define RUNTIME_USEC 3000000ULL /* for a runtime to say what it knows */

/* Who the caller is outside of its user namespace: Podman without root runs in one of its own. */
static uid_t outer_uid(bool *ret_in_namespace) {
        _cleanup_free_ char *text = NULL;
        unsigned long long inside = 0, outside = 0, count = 0;
        uid_t uid = geteuid();
        char *p;

        *ret_in_namespace = false;
        if (fd_read_file(AT_FDCWD, "/proc/self/uid_map", 65536, &text, NULL) < 0)
                return uid;
        for (p = text; *p;) {
                char *end;

                inside = strtoull(p, &end, 10);
                outside = strtoull(end, &end, 10);
                count = strtoull(end, &end, 10);
                if (end == p)
                        break;
                if (uid >= inside && uid - inside < count) {
                        *ret_in_namespace = !(inside == 0 && outside == 0 && count == 4294967295ULL);
                        return (uid_t)(outside + (uid - inside));
                }
                p = end + strspn(end, " \n");
        }
        return uid;
}

static void find_user(PlacementFacts *facts) {
        const char *said = getenv("_CONTAINERS_ROOTLESS_UID"), *runtime_dir = getenv("XDG_RUNTIME_DIR");
        bool in_namespace;
        uint64_t uid;

        facts->uid = outer_uid(&in_namespace);
        if (in_namespace && said && parse_u64(said, &uid) >= 0 && uid > 0 && uid < UINT32_MAX)
                facts->uid = (uid_t)uid;
        facts->rootless =
                geteuid() != 0 || (in_namespace && ((said && *said) || (runtime_dir && *runtime_dir)));
}

static bool cgroups_disabled(const Options *o) {
        for (size_t i = 0; i + 1 < o->runtime_arg.n; i++)
                if (strcmp(o->runtime_arg.words[i], "--cgroup-manager") == 0 &&
                    strcmp(o->runtime_arg.words[i + 1], "disabled") == 0)
                        return true;
        return false;
}

/*
 * The bundle, if it can be read. If not, the container stays where its caller wants it, and the runtime, for which the
 * bundle is, says what it makes of it: it may be less strict.
 */
static void open_bundle(Placer *p) {
        const char *why = NULL;
        int r;

        r = bundle_open(&p->bundle, p->options->bundle, &why);
        if (r < 0)
                place_note_trouble(p, p->options->bundle, strerror(-r));
        else if (r == BUNDLE_BROKEN)
                place_note_trouble(p, "config.json", why ? why : "invalid");
        p->facts.nest_failed = r < 0 || r == BUNDLE_BROKEN; /* nobody could tell the runtime where */
}

/* The unit is the container, whatever the bundle's author had in mind; or there is oci-NAME.scope, if that is wanted. */
static void gather_service(Placer *p) {
        PlacementFacts *f = &p->facts;

        (void)snprintf(p->service_path, sizeof p->service_path, "%s:oci:%s",
                       f->rootless ? "user.slice" : "machine.slice", p->options->name);
        f->systemd_cgroup = true;
        f->cgroups_path = p->service_path;
        f->wish_option = p->options->placement;
        if (!f->wish_option && !f->wish_environment)
                f->wish_option = SCOPEMON_PLACEMENT_UNIT;
}

static void place_gather(Placer *p) {
        const Options *o = p->options;
        PlacementFacts *f = &p->facts;
        struct stat st;

        *f = (PlacementFacts){ .id = o->cid,
                               .wish_environment = getenv(SCOPEMON_ENV_PLACEMENT),
                               .exec = o->exec,
                               .systemd_cgroup = o->systemd_cgroup,
                               .cgroups_disabled = cgroups_disabled(o),
                               .passthrough = o->log_targets.passthrough,
                               .service = o->service };
        if (o->exec)
                return;                         /* an exec is decided by nothing else */
        f->runtime = PLACEMENT_RUNTIME_UNKNOWN; /* to be looked at where it matters only */

        open_bundle(p);
        if (p->bundle) {
                f->cgroups_path = bundle_cgroups_path(p->bundle);
                f->wish_annotation = bundle_annotation(p->bundle, SCOPEMON_ANNOTATION_PLACEMENT);
        }
        find_user(f);
        if (o->service)
                gather_service(p);
        f->unified = cgroup_unified(NULL);
        f->managed = stat("/run/systemd/system", &st) >= 0 && S_ISDIR(st.st_mode);
        if (cgroup_own(getpid(), &p->cgroup) == 0)
                f->cgroup = p->cgroup;
}

/**
 * place_note_trouble() - something could not be had on the way
 */
void place_note_trouble(Placer *p, const char *what, const char *why) {
        (void)snprintf(p->text->trouble, sizeof p->text->trouble, "%.120s: %.130s", what, why);
}

/**
 * place_note_manager() - the manager could not be asked, or it did not answer as it should
 */
void place_note_manager(Placer *p, const char *what, const BusTrouble *trouble) {
        PlaceText *text = p->text;
        int r = trouble->error;

        if (r == 0) {
                place_note_trouble(p, what, trouble->text);
                return;
        }
        (void)snprintf(text->trouble, sizeof text->trouble, "%s", trouble->text);
        if (r != -ENOENT && r != -ECONNREFUSED)
                return;
        (void)snprintf(text->problem, sizeof text->problem, "%s", trouble->text);
        if (p->plan->user)
                (void)snprintf(text->remedy, sizeof text->remedy, "loginctl enable-linger %u", p->plan->uid);
        else
                (void)snprintf(text->remedy, sizeof text->remedy, "systemctl start dbus.socket");
}

/**
 * place_open_bus() - have the bus of a manager ready to ask, instead of that of another
 *
 * Return: 0 or a negative errno.
 */
int place_open_bus(Placer *p, bool user, uid_t uid) {
        int r;

        if (p->bus && bus_belongs_to(p->bus, user, uid))
                return 0;
        p->bus = bus_free(p->bus);
        r = bus_new(&p->bus, p->event, user, uid);
        return r < 0 ? relay(r) : 0;
}

static int unit_answered(void *userdata, const UnitFacts *facts, const BusTrouble *trouble) {
        Placer *p = userdata;

        p->note_unit(p, facts, trouble);
        p->question = unit_question_free(p->question);
        place_go_on(p);
        return 0;
}

/* Return: true if there will be an answer; else it has been noted that there is none. */
static bool ask_for_unit(Placer *p, bool user, uid_t uid, const char *unit, PlaceNoteUnit note) {
        BusTrouble trouble = { 0 };
        int r;

        p->note_unit = note;
        r = place_open_bus(p, user, uid);
        if (r >= 0)
                r = unit_ask(&p->question, p->bus, unit, unit_answered, p);
        if (r >= 0)
                return true;
        (void)snprintf(trouble.text, sizeof trouble.text, "%s", strerror(-r));
        note(p, NULL, &trouble);
        return false;
}

static uint64_t read_number(const char *path) {
        _cleanup_free_ char *text = NULL;
        uint64_t number;

        if (fd_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
                return UINT64_MAX;
        text[strcspn(text, "\n")] = 0;
        return parse_u64(text, &number) < 0 ? UINT64_MAX : number;
}

static pid_t read_pid(const char *path) {
        uint64_t number = path && *path ? read_number(path) : 0;

        return number <= INT32_MAX ? (pid_t)number : 0;
}

/* Podman before 5 gives no --persist-dir; then it does not show early enough whether it waits. */
static void look_at_caller(Placer *p) {
        const Options *o = p->options;

        p->caller_facts = caller_look(&p->caller, !o->persist_dir);
        p->facts.caller = p->caller_facts.next;
        p->facts.notifies = p->caller_facts.notifies;
}

static void note_former_unit(Placer *p, const UnitFacts *facts, const BusTrouble *trouble) {
        if (!facts)
                place_note_manager(p, p->former_unit, trouble);
        else if (strcmp(facts->active_state, "deactivating") == 0)
                p->facts.stopping_unit = p->former_unit;
}

/*
 * A restart against a stop? It is the unit of the monitor before us that counts, whose exit command the caller is: Podman
 * 4.3 moves us to a scope. Return: true if it is asked for.
 */
static bool look_at_former_unit(Placer *p) {
        _cleanup_free_ char *path = NULL;
        CgUnit unit;

        p->step = PLACE_STEP_DECIDE;
        if (p->caller.former_monitor <= 0 || !p->facts.managed || p->options->service)
                return false;
        look_at_caller(p);
        if (p->facts.caller != PLACEMENT_CALLER_RESTARTS ||
            cgroup_own(p->caller_facts.former_monitor, &path) < 0 || cgtext_unit(path, &unit) != 0 ||
            unit.kind == CG_UNIT_NONE || unit.n_name >= sizeof p->former_unit)
                return false;
        memcpy(p->former_unit, unit.name, unit.n_name); /* the rest is zero */
        return ask_for_unit(p, unit.user, unit.owner, p->former_unit, note_former_unit);
}

/* Do two paths name one file, if it is there? Their directories may be links, as /var/run is. */
static bool is_same_path(const char *a, const char *b) {
        const char *name_a = strrchr(a, '/'), *name_b = b ? strrchr(b, '/') : NULL;
        struct stat st_a, st_b;
        char dir[PATH_MAX];

        if (!name_a || !name_b || strcmp(name_a, name_b) != 0)
                return false;
        (void)snprintf(dir, sizeof dir, "%.*s/", (int)(name_a - a), a);
        if (stat(dir, &st_a) < 0)
                return false;
        (void)snprintf(dir, sizeof dir, "%.*s/", (int)(name_b - b), b);
        return stat(dir, &st_b) >= 0 && st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

static bool is_monitor_of_unit(const Placer *p, pid_t pid) {
        _cleanup_free_ char *path = NULL;

        return pid > 0 && proc_same_program(pid, getpid()) && cgroup_own(pid, &path) == 0 &&
               cgtext_is_below(path, p->plan->unit_path);
}

/* What ties us to the unit, now that its main process and its PIDFile= are known. */
static void look_at_ties(Placer *p) {
        const UnitFacts *u = &p->unit;
        pid_t main_pid = (pid_t)u->main_pid;

        p->facts.caller_is_main =
                main_pid > 0 && (main_pid == p->caller.pid || main_pid == p->caller_facts.outer);
        p->facts.pid_file_ours = is_same_path(u->pid_file, p->options->conmon_pidfile) ||
                                 is_same_path(u->pid_file, p->options->container_pidfile);
        p->facts.monitored = is_monitor_of_unit(p, main_pid) || is_monitor_of_unit(p, read_pid(u->pid_file));
}

static void note_unit(Placer *p, const UnitFacts *facts, const BusTrouble *trouble) {
        if (!facts) {
                p->facts.unit_failed = true;
                place_note_manager(p, p->plan->unit, trouble);
                return;
        }
        p->unit = *facts;
        p->facts.unit = &p->unit;
        look_at_ties(p);
}

static void note_stream(Placer *p, const UnitFacts *facts, const BusTrouble *trouble) {
        PlaceStream *stream = &p->text->stream;

        if (!facts) {
                if (trouble)
                        place_note_manager(p, "Unit of the caller's output", trouble);
                return;
        }
        *stream = (PlaceStream){ .known = true,
                                 .level_prefix = facts->syslog_level_prefix,
                                 .facility = facts->syslog_facility,
                                 .level = facts->syslog_level };
        (void)snprintf(stream->identifier, sizeof stream->identifier, "%s", facts->syslog_identifier);
}

/*
 * Where the caller's stream is withheld, since it would show each line a second time, our entry has to have what the
 * stream's would have had. It is asked for only there; the stream's own header cannot be read. Return: true if it is.
 */
static bool look_at_stream(Placer *p) {
        char name[UNITNAME_SIZE] = "";
        CgUnit unit;

        p->step = PLACE_STEP_FINISH;
        if (!p->caller.logs_to_journal || !p->facts.managed || !p->cgroup ||
            cgtext_unit(p->cgroup, &unit) != 0 || unit.kind != CG_UNIT_SERVICE || unit.n_name >= sizeof name)
                return false;
        if (p->facts.unit || p->facts.unit_failed) {
                note_stream(p, p->facts.unit, NULL);
                return false;
        }
        memcpy(name, unit.name, unit.n_name); /* the rest is zero */
        return ask_for_unit(p, unit.user, unit.owner, name, note_stream);
}

static void nest(Placer *p) {
        int r = 0;

        if (p->plan->monitor == PLACEMENT_MONITOR_NESTED)
                r = cgroup_nest(p->plan->unit_path, PLACEMENT_LEAF, p->plan->move_self ? getpid() : 0);
        if (r == 0 && p->plan->pod[0])
                r = cgroup_make_pod(p->plan->pod_slice, p->plan->unit_path, p->plan->pod,
                                    strrchr(p->plan->container_path, '/') + 1);
        p->step = r == 0 ? PLACE_STEP_MONITOR_SCOPE : PLACE_STEP_DECIDE;
        if (r == 0)
                return;
        place_note_trouble(p, "Cannot nest the container in its unit",
                           r < 0 ? strerror(-r) : "the unit's cgroup remains busy");
        p->facts.nest_failed = true;
}

/* What the runtime has to know goes into config.json, all of it in one rewrite, or none at all. */
static int write_bundle(Placer *p) {
        int r = 0;

        if (!p->bundle)
                return 0;
        if (p->plan->container == PLACEMENT_CONTAINER_NESTED)
                r = bundle_set_cgroups_path(p->bundle, p->plan->container_path);
        else if (p->plan->container == PLACEMENT_CONTAINER_SCOPE) {
                const char *path = p->plan->make_scope   ? p->plan->container_path
                                   : p->options->service ? p->service_path
                                                         : NULL;

                if (path)
                        r = bundle_set_cgroups_path(p->bundle, path);
                if (r >= 0 && !p->plan->make_scope)
                        r = place_describe_scope(p);
        } else
                return 0;
        if (r >= 0)
                r = bundle_save(p->bundle);
        return r < 0 ? relay(r) : 0;
}

/* systemd's own default, which nobody has asked for: a part of what the kernel allows at most. */
static bool is_default_tasks_max(uint64_t tasks) {
        uint64_t threads = read_number("/proc/sys/kernel/threads-max"),
                 pids = read_number("/proc/sys/kernel/pid_max");

        return tasks >= (threads < pids ? threads : pids) / 100 * DEFAULT_TASKS_PERCENT;
}

static bool is_limit(uint64_t value) {
        return value != 0 && value != UINT64_MAX;
}

/* That of PrivateDevices= goes with the unit's /dev, which is not the container's. */
static bool is_device_policy(const UnitFacts *u) {
        return !u->private_devices && u->device_policy[0] && strcmp(u->device_policy, "auto") != 0;
}

/* Limits that somebody has set for the unit and that a container beside it escapes. */
static void look_at_limits(Placer *p) {
        const UnitFacts *u = &p->unit;
        const struct {
                const char *name;
                bool set;
        } limits[] = { { "MemoryMax=", is_limit(u->memory_max) },
                       { "MemoryHigh=", is_limit(u->memory_high) },
                       { "MemorySwapMax=", is_limit(u->memory_swap_max) },
                       { "CPUQuota=", is_limit(u->cpu_quota_usec) },
                       { "AllowedCPUs=", u->allowed_cpus },
                       { "TasksMax=", is_limit(u->tasks_max) && !is_default_tasks_max(u->tasks_max) },
                       { "IPAddressDeny=", u->ip_address_deny },
                       { "DevicePolicy=", is_device_policy(u) } };
        bool bound = p->plan->row == PLACEMENT_ROW_BIND || p->plan->row == PLACEMENT_ROW_PROPAGATE;
        char words[128] = "";
        size_t n = 0;

        if (!p->facts.unit || p->plan->container != PLACEMENT_CONTAINER_SCOPE)
                return;
        for (size_t i = 0; i < ELEMENTS(limits); i++)
                if (limits[i].set)
                        n += (size_t)snprintf(words + n, sizeof words - n, "%s%s", n > 0 ? ", " : "",
                                              limits[i].name);
        if (n == 0)
                return;
        (void)snprintf(p->text->problem, sizeof p->text->problem,
                       "%s of %.200s does not apply to the container", words, p->plan->unit);
        (void)snprintf(p->text->remedy, sizeof p->text->remedy, "%s",
                       bound && !u->delegate ? "set Delegate=yes in the unit"
                                             : "limit the container itself with options of podman run");
}

/* An ordinary user whose manager does not run: callers fall back to cgroupfs then, and the container is in no unit. */
static void look_at_session(Placer *p) {
        const PlacementFacts *f = &p->facts;
        char path[64];

        if (!f->rootless || f->systemd_cgroup || f->cgroups_disabled || !f->managed || p->text->problem[0])
                return;
        (void)snprintf(path, sizeof path, "/run/user/%u/systemd", (unsigned)f->uid);
        if (access(path, F_OK) == 0)
                return; /* cgroupfs is somebody's wish */
        (void)snprintf(p->text->problem, sizeof p->text->problem,
                       "The service manager of user %u is not running, the container is in no unit",
                       (unsigned)f->uid);
        (void)snprintf(p->text->remedy, sizeof p->text->remedy, "loginctl enable-linger %u",
                       (unsigned)f->uid);
}

/* A unit that is to live through a soft reboot, and has not all that it takes. */
static void look_at_soft_reboot(Placer *p) {
        const UnitFacts *u = &p->unit;
        bool stops = u->stops_at_shutdown, isolated = !u->ignores_isolate;

        if (!p->facts.unit || !u->survives || p->text->problem[0] || (!p->plan->user && !stops && !isolated))
                return;
        if (p->plan->user)
                (void)snprintf(p->text->problem, sizeof p->text->problem,
                               "SurviveFinalKillSignal=yes of %.200s has no effect in a user manager",
                               p->plan->unit);
        else
                (void)snprintf(p->text->problem, sizeof p->text->problem,
                               "SurviveFinalKillSignal=yes of %.200s has no effect without %s%s%s",
                               p->plan->unit, stops ? "DefaultDependencies=no" : "",
                               stops && isolated ? " and " : "", isolated ? "IgnoreOnIsolate=yes" : "");
        (void)snprintf(p->text->remedy, sizeof p->text->remedy, "%s",
                       p->plan->user ? "use a unit of the system"
                                     : "use the drop-in soft-reboot.conf, see scopemon(8), \"Soft reboot\"");
}

/*
 * A container is to get its stop signal at its first process, and no other. Commands of ExecStop= see to that, where there
 * is no service mode.
 */
static void look_at_kill_mode(Placer *p) {
        bool service = p->options->service;

        if (!p->facts.unit || p->plan->container != PLACEMENT_CONTAINER_NESTED ||
            strcmp(p->unit.kill_mode, "control-group") != 0 || (!service && p->unit.exec_stop) ||
            p->text->problem[0])
                return;
        (void)snprintf(
                p->text->problem, sizeof p->text->problem,
                "KillMode=control-group of %.200s sends SIGTERM to all processes of the container on stop",
                p->plan->unit);
        (void)snprintf(p->text->remedy, sizeof p->text->remedy, "%s%s",
                       p->plan->pod[0] ? "stop the pod in ExecStop=" : "set KillMode=mixed in the unit",
                       p->plan->pod[0] || service ? "" : ", or stop the container in ExecStop=");
}

static int place_ask_runtime(void *userdata, void *answer) {
        const Placer *p = userdata;

        *(bool *)answer = features_ask(p->options->runtime);
        return 0;
}

static int runtime_answered(void *userdata, const void *answer, int error) {
        Placer *p = userdata;

        p->facts.runtime =
                answer && *(const bool *)answer ? PLACEMENT_RUNTIME_KNOWS : PLACEMENT_RUNTIME_PLAIN;
        p->query = query_free(p->query);
        place_go_on(p);
        return 0;
}

/* Does it turn annotations into properties? Return: true if it is asked itself, which takes a while. */
static bool look_at_runtime(Placer *p) {
        QuerySpec spec = { .ask = place_ask_runtime,
                           .answer_size = sizeof(bool),
                           .usec = RUNTIME_USEC,
                           .on_answer = runtime_answered,
                           .userdata = p };

        if (features_by_name(p->options->runtime)) {
                p->facts.runtime = PLACEMENT_RUNTIME_KNOWS;
                return false;
        }
        p->facts.runtime = PLACEMENT_RUNTIME_PLAIN;
        return query_new(&p->query, p->event, &spec) >= 0;
}

static void place_conclude(Placer *p, int result) {
        p->step = PLACE_STEP_END;
        p->result = result;
}

/* Return: true if somebody is asked. */
static bool place_decide(Placer *p) {
        int r = placement_decide(&p->facts, p->plan);

        switch (r) {
        case PLACEMENT_NEED_DELEGATION:
                p->facts.delegation = cgroup_delegated(p->plan->unit_path) == 1 ? PLACEMENT_DELEGATION_YES
                                                                                : PLACEMENT_DELEGATION_NO;
                return false;
        case PLACEMENT_NEED_UNIT:
                return ask_for_unit(p, p->plan->user, p->plan->uid, p->plan->unit, note_unit);
        case PLACEMENT_NEED_CALLER:
                look_at_caller(p);
                return false;
        case PLACEMENT_NEED_POD:
                p->facts.pod = cgroup_limits_missing(p->plan->pod_slice, p->plan->unit_path)
                                       ? PLACEMENT_POD_LOSES_LIMITS
                                       : PLACEMENT_POD_FITS;
                return false;
        case PLACEMENT_NEED_RUNTIME:
                return look_at_runtime(p);
        case PLACEMENT_STOPPING:
                p->text->restarting = p->caller_facts.former_monitor;
                __attribute__((fallthrough));
        case PLACEMENT_IMPOSSIBLE:
                (void)snprintf(p->text->refusal, sizeof p->text->refusal, "%s", p->plan->reason);
                place_conclude(p, PLACE_REFUSED);
                return false;
        default:
                if (r < 0)
                        place_conclude(p, relay(r));
                else
                        p->step = PLACE_STEP_NEST;
                return false;
        }
}

static void finish(Placer *p) {
        look_at_limits(p);
        look_at_session(p);
        look_at_soft_reboot(p);
        look_at_kill_mode(p);
        place_conclude(p, write_bundle(p));
}

/* Return: true if an answer has to be waited for. */
static bool take_step(Placer *p) {
        switch (p->step) {
        case PLACE_STEP_FORMER_UNIT:
                return look_at_former_unit(p);
        case PLACE_STEP_DECIDE:
                return place_decide(p);
        case PLACE_STEP_NEST:
                nest(p);
                return false;
        case PLACE_STEP_MONITOR_SCOPE:
                return place_make_monitor_scope(p);
        case PLACE_STEP_CONTAINER_SCOPE:
                return place_make_container_scope(p);
        case PLACE_STEP_STREAM:
                return look_at_stream(p);
        case PLACE_STEP_FINISH:
                finish(p);
                return false;
        case PLACE_STEP_END:
                return false;
        }
        return false;
}

/* The annotation counts, else the environment. What is no boolean is told. */
static void look_at_machine(Placer *p) {
        const char *given = p->bundle ? bundle_annotation(p->bundle, SCOPEMON_ANNOTATION_MACHINE) : NULL,
                   *word = given ? given : getenv(SCOPEMON_ENV_MACHINE);
        bool wanted;

        if (p->options->exec || !word || !p->facts.managed)
                return;
        if (parse_bool(word, &wanted) < 0) {
                if (p->text->problem[0])
                        return;
                (void)snprintf(p->text->problem, sizeof p->text->problem, "%s of \"%.64s\" is no boolean",
                               given ? SCOPEMON_ANNOTATION_MACHINE : SCOPEMON_ENV_MACHINE, word);
                (void)snprintf(p->text->remedy, sizeof p->text->remedy, "set it to yes or no");
                return;
        }
        p->plan->machine = wanted;
        p->plan->machine_user = p->facts.rootless;
        p->plan->machine_uid = p->facts.uid;
}

/* What only the way has needed. */
static void drop_all(Placer *p) {
        p->question = unit_question_free(p->question);
        p->scope = scope_free(p->scope);
        p->query = query_free(p->query);
        p->bus = bus_free(p->bus);
        p->bundle = bundle_free(p->bundle);
        free(p->cgroup);
        p->cgroup = NULL;
}

/**
 * place_go_on() - as far as what is known allows
 *
 * The Placer may be gone afterwards.
 */
void place_go_on(Placer *p) {
        while (p->step != PLACE_STEP_END)
                if (take_step(p))
                        return;
        look_at_machine(p);
        p->plan->unit_stop_usec = p->unit.spares ? UINT64_MAX : p->unit.timeout_stop_usec;
        if (p->options->sdnotify_socket)
                p->plan->fd_store_max = caller_store(p->options->service ? getpid() : p->caller.pid);
        if (p->result != 0)
                place_let_go(p->hold);
        drop_all(p);
        p->on_placed(p->userdata, p->result);
}

/**
 * place_new() - whoever puts the monitor where it belongs, and tells the runtime where the container does
 * @spec: copied, but for what it points to
 * @on_placed: called once
 *
 * Return: 0 or -ENOMEM.
 */
int place_new(Placer **ret, Event *event, const PlaceSpec *spec, PlaceOnPlaced on_placed, void *userdata) {
        Placer *p;

        p = calloc(1, sizeof *p);
        if (!p)
                return fail(-ENOMEM);
        p->event = event_ref(event);
        p->options = spec->options;
        p->caller = *spec->caller;
        p->plan = spec->plan;
        p->text = spec->text;
        p->hold = spec->hold;
        p->holder_pidfd = -1;
        p->on_placed = on_placed;
        p->userdata = userdata;
        *p->text = (PlaceText){ 0 };
        *p->hold = PLACE_HOLD_NONE;
        *ret = p;
        return 0;
}

/**
 * place_start() - begin with it
 *
 * If nobody has to be asked, on_placed() is called from here, and the Placer may be gone afterwards.
 */
void place_start(Placer *p) {
        place_gather(p);
        place_go_on(p);
}

/**
 * place_free() - go no further
 *
 * What has been done stays, but for a scope of the container that is not there yet.
 *
 * Return: NULL.
 */
Placer *place_free(Placer *p) {
        if (!p)
                return NULL;
        if (p->holder > 0) /* else what it holds is not ours any more */
                place_end_holder(p);
        drop_all(p);
        p->event = event_unref(p->event);
        free(p);
        return NULL;
}

/**
 * place_let_go() - the container is in its scope, or will never be: nobody has to wait there any more
 */
void place_let_go(PlaceHold *hold) {
        fd_close_many(&hold->procs_fd, 1);
        fd_close_many(&hold->end_fd, 1);
}
