/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parts of explain share: the host as it was found (explain-host.c), what is told of one container by the
 * journal (explain-journal.c), by the managers (explain-units.c) and by its monitor's ring (explain-output.c), and how it
 * is shown (explain-print.c, explain-list.c).
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "explain/terminal.h"
#include "io/proc.h"
#include "oci/json.h"
#include "placement/placement.h"
#include "systemd/journal-reader.h"
#include "systemd/unit.h"
#include "wire/unitname.h"

#define EXPLAIN_NAME_SIZE 256

typedef struct ExplainProcess {
        pid_t pid;
        ProcStat stat;
        char *cgroup;
        char id[EXPLAIN_NAME_SIZE]; /* of the container that it belongs to, or that it monitors; "" for none */
        char **argv;                /* of a monitor, else NULL */
        bool exec;                  /* a monitor of an exec session */
} ExplainProcess;

typedef struct ExplainHost {
        ExplainProcess *processes;
        size_t n;
        JournalReader *journal; /* NULL if it cannot be read */
        bool user;              /* --user: own containers and the own manager's units only */
} ExplainHost;

typedef struct ExplainIds {
        char (*ids)[EXPLAIN_NAME_SIZE];
        size_t n;
} ExplainIds;

typedef struct ExplainUnit {
        char name[UNITNAME_SIZE]; /* "": in no unit */
        bool user;                /* of the manager of @owner */
        uid_t owner;
        bool known;        /* the manager has told @facts */
        char trouble[256]; /* else why it has not */
        UnitFacts facts;
} ExplainUnit;

typedef struct ExplainPlacement {
        bool told; /* by the monitor, in the journal; else deduced, and with a stock monitor what ours would do */
        char name[16];
        char reason[512];
        char caller_unit[UNITNAME_SIZE];
        uint64_t usec;
} ExplainPlacement;

typedef struct ExplainEnd {
        bool known;
        bool other; /* an earlier container of this name: @id */
        char id[EXPLAIN_NAME_SIZE];
        bool by_podman; /* its event: status and time are all that is known */
        uint64_t usec;
        bool has_status;
        uint64_t status, signal, duration, bytes, lost, suppressed;
        bool core_dumped, oom, timed_out;
} ExplainEnd;

/* Of a container that runs */
typedef struct ExplainOutput {
        bool has_memory;
        uint64_t memory; /* bytes */
        bool known;      /* the rest is */
        uint64_t lines;  /* sent to the journal */
        uint64_t bytes, lost;
        uint64_t suppressed; /* lines that journald has dropped */
        uint64_t clients;    /* attached */
} ExplainOutput;

typedef struct Explained {
        char id[EXPLAIN_NAME_SIZE];
        char name[EXPLAIN_NAME_SIZE];
        const ExplainProcess *keeper, *worker, *init; /* in the host; NULL for none */
        uid_t owner;
        bool stock;
        unsigned n_processes; /* in the container's cgroup */
        unsigned n_execs;
        char monitor_cgroup[PATH_MAX], container_cgroup[PATH_MAX];
        bool monitor_unmarked, container_unmarked; /* their cgroups, for a soft reboot */
        ExplainUnit container_unit, monitor_unit, slice;
        ExplainPlacement placement;
        ExplainEnd end;
        ExplainOutput output;
} Explained;

/* How a unit goes at shutdown */
typedef struct ExplainStep {
        const ExplainUnit *unit;
        bool at_once; /* with the step before */
        bool stopped; /* by a job; else systemd's last signals to all processes reach it */
} ExplainStep;

/* explain-host.c */
int explain_host_new(ExplainHost **ret, bool user);
ExplainHost *explain_host_free(ExplainHost *h);
DEFINE_CLEANUP(ExplainHost, explain_host_free)
int explain_find(const ExplainHost *h, const char *word, ExplainIds *ids);
int explain_find_all(const ExplainHost *h, ExplainIds *ids);
void explain_processes(const ExplainHost *h, const char *id, Explained *e);
int explain_ids_add(ExplainIds *ids, const char *id);

/* explain-journal.c */
#define EXPLAIN_ENDED_MAX 200 /* containers that have exited, shown by "list --all" */
#define EXPLAIN_MORE 1        /* explain_journal_find_all(): there are more of them */
int explain_journal_find(const ExplainHost *h, const char *word, bool is_unit, ExplainIds *ids);
int explain_journal_find_all(const ExplainHost *h, ExplainIds *ids);
void explain_journal(const ExplainHost *h, Explained *e);

/* explain-units.c */
void explain_units(Explained *e);
void explain_ask_unit(ExplainUnit *u);
bool explain_same_unit(const ExplainUnit *a, const ExplainUnit *b);
size_t explain_order(const Explained *e, ExplainStep ret[2]);
const char *explain_soft_reboot(const Explained *e, const ExplainUnit **ret_unit);
size_t explain_stoppers(const Explained *e, const char *ret[4]);

/* explain-print.c */
void explain_print(const Explained *e);
int explain_json(const Explained *e, Json **ret);
__attribute__((format(printf, 1, 2))) void explain_say_text(const char *format, ...);
const char *explain_format_span(uint64_t usec, char *out, size_t size);

/* explain-output.c */
#define EXPLAIN_LINES_MAX 10
void explain_output(Explained *e);
void explain_lines(const ExplainHost *h, const Explained *e, size_t n);

/* explain-list.c */
#define EXPLAIN_LIST_UNKNOWN 1 /* explain_list_new(): no column has this name */
typedef struct ExplainList ExplainList;
int explain_list_new(ExplainList **ret, const char *names, const char **ret_unknown, size_t *ret_n);
ExplainList *explain_list_free(ExplainList *l);
DEFINE_CLEANUP(ExplainList, explain_list_free)
const char *explain_list_suggest(const char *name, size_t n);
int explain_list_add(ExplainList *l, const Explained *e);
void explain_list_print(const ExplainList *l, const Terminal *terminal, bool legend);
