/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is left of a monitor that was killed: enough for somebody else to tell the end of its container. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MARK_NAME_MAX 256
#define MARK_PLACES 2U

typedef struct Mark {
        char cid[MARK_NAME_MAX];
        char name[MARK_NAME_MAX]; /* "" for none */
        char exit_dir[PATH_MAX];
        char persist_dir[PATH_MAX]; /* "" for none */
        pid_t monitor, target;
        uint64_t monitor_boot_usec, target_boot_usec; /* when they were started, since boot */
        bool takes_commands;                          /* of the container's exec sessions; see exec/ */
} Mark;

/* What mark_settle() has found. */
typedef enum MarkFound {
        MARK_TOLD = 1, /* the exit files have been written now */
        MARK_KNOWN,    /* they were there */
        MARK_ALIVE,    /* monitor, worker or container run */
} MarkFound;

typedef void (*MarkHandler)(void *userdata, const Mark *mark, int found);

int mark_open_place(size_t i, bool make);
int mark_find(const char *cid, Mark *ret);
int mark_make(const Mark *mark);
void mark_remove(const char *cid, pid_t monitor);
bool mark_settle(const char *word, MarkHandler on_mark, void *userdata);
