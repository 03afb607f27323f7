/* SPDX-License-Identifier: Apache-2.0 */

/*
 * "scopemon doctor [UNIT...]": what a host needs so that containers are in their units and their output is in the
 * journal, one row for each, with the remedy. Files are read as their owners read them, and nothing is changed.
 *
 * A row is good, a remark (it works, but not all of it), or bad; of the last there is an exit status.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "explain/doctor.h"
#include "explain/explain-internal.h"
#include "explain/explain.h"
#include "explain/setting.h"
#include "explain/table.h"
#include "explain/verb.h"
#include "io/cgroup.h"
#include "oci/features.h"
#include "sandbox/proof.h"
#include "scopemon/protocol.h"

#define FILE_MAX (1U << 20)

typedef enum Verdict {
        GOOD,
        REMARK,
        BAD,
        _VERDICT_MAX,
} Verdict;

typedef struct Doctor {
        Table *table;
        Json *array; /* with --json */
        bool user;   /* rootless: the user's manager and configuration */
        bool bad;
        int r; /* the first error */
} Doctor;

/* A row. @remedy: "" if there is nothing to be done. */
__attribute__((format(printf, 5, 6))) static void tell(Doctor *d,
                                                       Verdict verdict,
                                                       const char *what,
                                                       const char *remedy,
                                                       const char *format,
                                                       ...) {
        static const TableStyle styles[_VERDICT_MAX] = { TABLE_GOOD, TABLE_WARN, TABLE_BAD };
        static const char *const words[_VERDICT_MAX] = { "ok", "note", "bad" };
        _cleanup_(json_freep) Json *row = NULL;
        char text[1024];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        d->bad |= verdict == BAD;
        if (d->r >= 0 && d->array) {
                d->r = json_new(&row);
                if (d->r >= 0)
                        d->r = json_set_text(row, "check", what);
                if (d->r >= 0)
                        d->r = json_set_text(row, "verdict", words[verdict]);
                if (d->r >= 0)
                        d->r = json_set_text(row, "found", text);
                if (d->r >= 0 && remedy[0])
                        d->r = json_set_text(row, "remedy", remedy);
                if (d->r >= 0)
                        d->r = json_append(d->array, row);
                return;
        }
        if (d->r >= 0)
                d->r = table_cell(d->table, styles[verdict], "%s", words[verdict]);
        if (d->r >= 0)
                d->r = table_cell(d->table, TABLE_PLAIN, "%s", what);
        if (d->r >= 0)
                d->r = table_cell(d->table, TABLE_PLAIN, "%s", text);
        if (d->r >= 0)
                d->r = table_cell(d->table, TABLE_PLAIN, "%s", remedy);
}

static bool exists(const char *path) {
        return access(path, F_OK) == 0;
}

static char *read_text(const char *path) {
        char *text;

        return fd_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL) < 0 ? NULL : text;
}

static bool has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *at = text; (at = strstr(at, word)); at += n)
                if ((at == text || at[-1] == ' ') && (at[n] == 0 || at[n] == ' ' || at[n] == '\n'))
                        return true;
        return false;
}

/* ---- cgroups and managers ------------------------------------------------------------------------------- */

static void check_cgroups(Doctor *d) {
        const char *root;

        if (!cgroup_unified(&root))
                tell(d, BAD, "cgroup v2", "boot without systemd.unified_cgroup_hierarchy=0",
                     "no unified hierarchy is mounted: containers stay in the cgroup of their caller");
        else if (strcmp(root, "/sys/fs/cgroup") != 0)
                tell(d, REMARK, "cgroup v2", "boot without systemd.unified_cgroup_hierarchy=0",
                     "mounted at %s, but limits of units are on cgroup v1 (hybrid)", root);
        else
                tell(d, GOOD, "cgroup v2", "", "mounted at %s", root);
        if (exists("/run/systemd/system"))
                tell(d, GOOD, "systemd", "", "running");
        else
                tell(d, BAD, "systemd", "boot with systemd as PID 1", "not running");
}

static void check_controllers(Doctor *d) {
        static const char *const wanted[] = { "cpu", "memory", "pids" };
        char path[PATH_MAX], missing[64] = "";
        _cleanup_free_ char *text = NULL;
        const char *root;

        if (!cgroup_unified(&root))
                return;
        if (d->user)
                (void)snprintf(path, sizeof path,
                               "%s/user.slice/user-%u.slice/user@%u.service/cgroup.controllers", root,
                               geteuid(), geteuid());
        else
                (void)snprintf(path, sizeof path, "%s/cgroup.controllers", root);
        text = read_text(path);
        if (!text && d->user) {
                tell(d, BAD, "user manager", "loginctl enable-linger, or log in", "is not running");
                return;
        }
        for (size_t i = 0; i < ELEMENTS(wanted); i++)
                if (!text || !has_word(text, wanted[i]))
                        (void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing), " %s",
                                       wanted[i]);
        if (!missing[0])
                tell(d, GOOD, "controllers", "", "cpu, memory and pids are available%s",
                     d->user ? " for the user manager" : "");
        else
                tell(d, REMARK, "controllers",
                     d->user ? "Delegate=cpu cpuset io memory pids in user@.service"
                             : "boot without cgroup v1",
                     "missing:%s", missing);
}

static void check_linger(Doctor *d) {
        const struct passwd *user = d->user ? getpwuid(geteuid()) : NULL;
        char path[PATH_MAX];

        if (!user)
                return;
        (void)snprintf(path, sizeof path, "/var/lib/systemd/linger/%s", user->pw_name);
        if (exists(path))
                tell(d, GOOD, "linger", "", "is enabled for %s", user->pw_name);
        else
                tell(d, REMARK, "linger", "loginctl enable-linger",
                     "is disabled: containers of %s end at logout and do not start at boot", user->pw_name);
}

/* ---- container managers --------------------------------------------------------------------------------- */

/* Where a setting was found last; what comes later replaces it. */
typedef struct Found {
        char value[4096], file[PATH_MAX];
        bool appends; /* the next list is added to this one */
} Found;

static void look_in(const char *path, const char *key, Found *f) {
        _cleanup_free_ char *text = read_text(path);
        Found new = { .appends = f->appends };

        if (!text || setting_find_toml(text, key, new.value, sizeof new.value) != 0)
                return;
        new.appends |= setting_appends(new.value);
        (void)snprintf(new.file, sizeof new.file, "%s", path);
        if (new.appends && f->value[0]) {
                _cleanup_free_ char *list = NULL;

                if (asprintf(&list, "%s %s", f->value, new.value) >= 0)
                        (void)snprintf(new.value, sizeof new.value, "%s", list);
        }
        *f = new;
}

/* PATH, and the drop-ins in PATH.d */
static int look_in_all(const char *path, const char *key, Found *f) {
        char directory[PATH_MAX];
        const char *const directories[] = { directory };
        char **files;
        int r;

        look_in(path, key, f);
        if (snprintf(directory, sizeof directory, "%s.d", path) >= (int)sizeof directory)
                return 0;
        r = setting_files(directories, ELEMENTS(directories), &files);
        if (r < 0)
                return relay(r);
        for (size_t i = 0; files[i]; i++)
                look_in(files[i], key, f);
        (void)setting_files_free(files);
        return 0;
}

/* The first program of a list that exists. */
static bool first_program(const char *list, char *ret, size_t size) {
        while (setting_next_string(&list, ret, size) == 0)
                if (access(ret, X_OK) == 0)
                        return true;
        return false;
}

static bool is_this_program(const char *path) {
        struct stat theirs, ours;

        return stat(path, &theirs) >= 0 && stat("/proc/self/exe", &ours) >= 0 &&
               theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* containers.conf(5) */
static int find_monitor_of_podman(const Doctor *d, Found *f) {
        static const char key[] = "engine.conmon_path";
        const char *only = getenv("CONTAINERS_CONF"), *last = getenv("CONTAINERS_CONF_OVERRIDE");
        const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
        char path[PATH_MAX];
        int r = 0;

        if (only && only[0])
                look_in(only, key, f);
        else {
                look_in("/usr/share/containers/containers.conf", key, f);
                r = look_in_all("/etc/containers/containers.conf", key, f);
                if (config && config[0])
                        (void)snprintf(path, sizeof path, "%s/containers/containers.conf", config);
                else
                        (void)snprintf(path, sizeof path, "%s/.config/containers/containers.conf",
                                       home ?: "");
                if (r >= 0 && d->user)
                        r = look_in_all(path, key, f);
        }
        if (last && last[0])
                look_in(last, key, f);
        return r < 0 ? relay(r) : 0;
}

static void check_podman(Doctor *d) {
        static const char *const remedy =
                "ln -s " SCOPEMON_DATADIR "/podman.conf /etc/containers/containers.conf.d/50-scopemon.conf";
        char program[PATH_MAX];
        Found f = {
                .value = "'/usr/libexec/podman/conmon' '/usr/local/libexec/podman/conmon' '/usr/bin/conmon'"
        };

        if (!exists("/usr/bin/podman") && !exists("/usr/local/bin/podman"))
                return;
        if (d->r >= 0)
                d->r = find_monitor_of_podman(d, &f);
        if (!f.file[0])
                tell(d, REMARK, "Podman", remedy, "uses its default monitor, conmon");
        else if (!first_program(f.value, program, sizeof program))
                tell(d, BAD, "Podman", "correct conmon_path", "conmon_path in %s lists no existing program",
                     f.file);
        else if (!is_this_program(program))
                tell(d, REMARK, "Podman", remedy, "uses %s, set in %s", program, f.file);
        else
                tell(d, GOOD, "Podman", "", "uses %s, set in %s", program, f.file);
}

static void check_crio(Doctor *d) {
        static const char conf[] = "/etc/crio/crio.conf";
        char program[PATH_MAX] = "";
        Found f = { 0 };

        if (!exists("/etc/crio"))
                return;
        if (d->r >= 0)
                d->r = look_in_all(conf, "crio.runtime.conmon", &f);
        if (d->r >= 0 && !f.file[0])
                d->r = look_in_all(conf, "crio.runtime.runtimes.*.monitor_path", &f);
        if (first_program(f.value, program, sizeof program) && is_this_program(program))
                tell(d, GOOD, "CRI-O", "", "uses %s, set in %s", program, f.file);
        else
                tell(d, REMARK, "CRI-O",
                     "ln -s " SCOPEMON_DATADIR "/crio.conf /etc/crio/crio.conf.d/50-scopemon.conf", "uses %s",
                     program[0] ? program : "its default monitor, conmon");
}

static void check_runtime(Doctor *d) {
        static const char *const paths[] = { "/usr/bin/crun", "/usr/sbin/crun", "/usr/local/bin/crun",
                                             "/usr/bin/runc", "/usr/sbin/runc", "/usr/local/bin/runc" };
        char version[128];

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (access(paths[i], X_OK) == 0) {
                        features_version(paths[i], version, sizeof version);
                        tell(d, GOOD, "OCI runtime", "", "%s%s%s", paths[i], version[0] ? ", " : "", version);
                        return;
                }
        tell(d, BAD, "OCI runtime", "install crun or runc", "neither crun nor runc is installed");
}

/* ---- the worker ----------------------------------------------------------------------------------------- */

static void check_worker(Doctor *d) {
        unsigned could = 0;
        int r;

        r = proof_try(&could);
        if (r < 0)
                tell(d, REMARK, "confinement", "", "cannot be tested: %s", strerror(-r));
        else if (could & ~(unsigned)(PROOF_NAME | PROOF_ABSTRACT))
                tell(d, BAD, "confinement", "a kernel with seccomp filters",
                     could & PROOF_NONE ? "the kernel refuses it: workers do not start"
                                        : "workers can open files, create sockets or send signals");
        else if (could & PROOF_NAME)
                tell(d, REMARK, "confinement", "allow user namespaces, or CAP_SYS_CHROOT",
                     "workers have the root directory of the host, and can send to datagram sockets");
        else if (could & PROOF_ABSTRACT)
                tell(d, REMARK, "confinement", "Linux 6.12 or later",
                     "workers cannot open files or create sockets, but can send to abstract datagram "
                     "sockets");
        else
                tell(d, GOOD, "confinement", "",
                     "workers cannot open files, create or reach sockets, or send signals");
}

/* ---- the journal ---------------------------------------------------------------------------------------- */

/* journald.conf(5): one main file, and all drop-ins in the order of their names. */
static int find_rate_limit(char *interval, char *burst, size_t size) {
        static const char *const files[] = { "/etc/systemd/journald.conf", "/run/systemd/journald.conf",
                                             "/usr/local/lib/systemd/journald.conf",
                                             "/usr/lib/systemd/journald.conf" };
        static const char *const directories[] = { "/etc/systemd/journald.conf.d",
                                                   "/run/systemd/journald.conf.d",
                                                   "/usr/local/lib/systemd/journald.conf.d",
                                                   "/usr/lib/systemd/journald.conf.d" };
        _cleanup_free_ char *main_text = NULL;
        char **drop_ins;
        int r;

        for (size_t i = 0; i < ELEMENTS(files) && !main_text; i++)
                main_text = read_text(files[i]);
        r = setting_files(directories, ELEMENTS(directories), &drop_ins);
        if (r < 0)
                return relay(r);
        for (char **file = drop_ins, *text = TAKE_PTR(main_text);; text = read_text(*file++)) {
                if (text) {
                        (void)setting_find_ini(text, "Journal", "RateLimitInterval", interval,
                                               size); /* of old */
                        (void)setting_find_ini(text, "Journal", "RateLimitIntervalSec", interval, size);
                        (void)setting_find_ini(text, "Journal", "RateLimitBurst", burst, size);
                }
                free(text);
                if (!*file)
                        break;
        }
        (void)setting_files_free(drop_ins);
        return 0;
}

/* "0", "0s", "0 min" */
static bool is_zero(const char *text) {
        return text[0] == '0' && !strpbrk(text, "123456789");
}

static void check_journal(Doctor *d) {
        char burst[64] = "10000", interval[64] = "30s";

        if (d->r >= 0)
                d->r = find_rate_limit(interval, burst, sizeof burst);
        if (!exists("/run/systemd/journal/socket"))
                tell(d, BAD, "journald", "systemctl start systemd-journald.socket", "is not running");
        else if (is_zero(burst) || is_zero(interval))
                tell(d, GOOD, "rate limit", "", "journald stores every line");
        else
                tell(d, REMARK, "rate limit",
                     "RateLimitBurst= in journald.conf(5), or LogRateLimitBurst= of a unit",
                     "journald drops lines of a unit that logs more than %s in %s", burst, interval);
        if (journal_reader_explains(SCOPEMON_MESSAGE_ENDED))
                tell(d, GOOD, "catalog", "", "journalctl -x explains messages of scopemon");
        else
                tell(d, REMARK, "catalog", "journalctl --update-catalog",
                     "journalctl -x does not explain messages of scopemon");
}

/* ---- units ---------------------------------------------------------------------------------------------- */

static void check_unit(Doctor *d, const char *word) {
        ExplainUnit u = { .user = d->user, .owner = geteuid() };
        const UnitFacts *f = &u.facts;

        (void)snprintf(u.name, sizeof u.name, "%s%s", word, strchr(word, '.') ? "" : ".service");
        explain_ask_unit(&u);
        if (!u.known) {
                tell(d, BAD, u.name, "", "%s", u.trouble);
                return;
        }
        if (strcmp(f->load_state, "loaded") != 0) {
                tell(d, BAD, u.name, "", "not loaded (%s)", f->load_state);
                return;
        }
        if (!f->delegate)
                tell(d, REMARK, u.name, "Delegate=yes, as in " SCOPEMON_DATADIR "/nest.conf",
                     "Delegate=no: its container gets a scope of its own, and limits of the unit do not "
                     "apply to it");
        else if (strcmp(f->kill_mode, "mixed") != 0 && strcmp(f->kill_mode, "process") != 0 && !f->exec_stop)
                tell(d, REMARK, u.name,
                     "KillMode=mixed and ExecStopPost=podman rm -f --ignore NAME, see scopemon-migration(7)",
                     "Delegate=yes: its container is in it; KillMode=%s signals all processes of the "
                     "container",
                     f->kill_mode);
        else
                tell(d, GOOD, u.name, "", "Delegate=yes, KillMode=%s: its container is in it", f->kill_mode);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int new_doctor(Doctor *d, bool json) {
        int r;

        r = json ? json_new_array(&d->array) : table_new(&d->table);
        if (r < 0)
                return relay(r);
        if (d->table) {
                table_column(d->table, "", false);
                table_column(d->table, "CHECK", false);
                table_column(d->table, "FOUND", false);
                table_column(d->table, "REMEDY", false);
                table_fold(d->table); /* a remedy is copied: it is not cut */
        }
        return 0;
}

static int examine(Doctor *d, char **units) {
        check_cgroups(d);
        check_controllers(d);
        check_linger(d);
        check_podman(d);
        check_crio(d);
        check_runtime(d);
        check_worker(d);
        check_journal(d);
        for (; *units; units++)
                check_unit(d, *units);
        return d->r < 0 ? relay(d->r) : 0;
}

static int print_help(void) {
        (void)printf("Usage:\n  scopemon doctor [OPTION...] [UNIT...]\n\n"
                     "Check how this host, and units, are set up for containers. The exit status is 1 if "
                     "a row is \"bad\".\n\nOptions:\n");
        return verb_print_options(VERB_DOCTOR);
}

static int answer(Doctor *d, const VerbOptions *o, char **units) {
        Terminal terminal;
        int r;

        r = new_doctor(d, o->format != VERB_FORMAT_OFF);
        if (r >= 0)
                r = examine(d, units);
        if (r < 0)
                return relay(r);
        terminal_open(&terminal, !o->no_pager);
        if (d->array)
                (void)puts(json_text(d->array, o->format == VERB_FORMAT_PRETTY) ?: "");
        else
                table_print(d->table, &terminal, !o->no_legend);
        r = fd_flush_stdout();
        terminal_close(&terminal);
        return r < 0 ? relay(r) : 0;
}

/**
 * doctor_run() - "scopemon doctor [OPTION...] [UNIT...]"
 * @argv: with the verb as its second word; its pointers are rearranged
 *
 * Return: an exit status.
 */
int doctor_run(int argc, char *argv[]) {
        Doctor d = { .user = geteuid() != 0 };
        VerbOptions o = { 0 };
        int r;

        r = verb_parse(VERB_DOCTOR, argv + 2, &o);
        if (r < 0)
                return EXPLAIN_FAILED;
        d.user |= o.user;
        r = o.help ? print_help() : answer(&d, &o, argv + 2);
        if (r < 0)
                (void)verb_complain("Failed to examine this host: %s", strerror(-r));
        d.table = table_free(d.table);
        d.array = json_free(d.array);
        return r < 0 || d.bad ? EXPLAIN_FAILED : EXPLAIN_OK;
}
