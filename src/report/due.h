/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Exit commands of exec sessions that another monitor is to run later, as files. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a file's name says. */
typedef struct DueId {
        uint64_t at_usec;         /* on the monotonic clock */
        pid_t giver;              /* the session's monitor, */
        uint64_t giver_boot_usec; /* ... which was started then, since boot */
} DueId;

typedef struct DueCommand {
        char **argv, **envp; /* argv[0] is executed */
} DueCommand;

typedef enum DueFolder {
        DUE_GIVEN, /* by its session's monitor, which may take it back */
        DUE_TAKEN, /* by the container's */
} DueFolder;

typedef void (*DueHandler)(void *userdata, const DueId *id);

int due_open(int place_fd, const char *cid, pid_t monitor, DueFolder folder, bool make);
void due_remove(int place_fd, const char *cid, pid_t monitor, DueFolder folder);
int due_close(int place_fd, const char *cid, pid_t monitor);
bool due_is_left(const char *name);
size_t due_adopt(int place_fd,
                 const char *cid,
                 pid_t heir,
                 uint64_t latest,
                 DueHandler on_id,
                 void *userdata);
void due_list(int folder_fd, DueHandler on_id, void *userdata);

int due_give(int given_fd, const DueId *id, const DueCommand *command);
int due_take(int given_fd, int taken_fd, const DueId *id);
int due_read(int taken_fd, const DueId *id, DueCommand *ret);
int due_delete(int folder_fd, const DueId *id);
void due_command_done(DueCommand *c);
