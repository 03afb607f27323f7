/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Another binary in our place, under a container that runs: same pid, same children, same descriptors. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/process.h"
#include "event/event.h"

#define UPGRADE_CHECK "--check-state"     /* and a descriptor: exit 0 if that state can be taken over */
#define UPGRADE_VARIABLE "SCOPEMON_STATE" /* of the image that takes over: the descriptor of its state */
#define UPGRADE_VALUE 0x73636f70          /* goes with the SIGUSR2 that is a request for an upgrade */
#define UPGRADE_DONE "upgraded"           /* how an answer begins: to the process that has sent the signal */
#define UPGRADE_REFUSED "refused"

typedef struct Keeper Keeper;
typedef struct Saved Saved;

typedef enum UpgradeStep {
        UPGRADE_IDLE,
        UPGRADE_WANTED,   /* as soon as it is possible */
        UPGRADE_CHECKING, /* the new binary looks at our state */
        UPGRADE_CHECKED,  /* it will do: now */
        UPGRADE_RESUMED,  /* this is the new image, its worker takes over */
        UPGRADE_ADOPTING, /* this is another process, after one that has died: likewise */
} UpgradeStep;

typedef struct Upgrade {
        UpgradeStep step;
        pid_t requester; /* of the last signal, 0 if unknown */
        pid_t check_pid;
        int words_fd; /* what the new binary says meanwhile */
        bool too_slow;
        uint64_t begun_usec; /* resumed: when the worker of the image before is told to leave */
        struct stat binary;  /* the file that was checked */
        char version[64];    /* resumed: of the image before */
        Timer *deadline;
} Upgrade;

/* The image that hands on. */
bool upgrade_is_request(const struct signalfd_siginfo *info);
void upgrade_want(Keeper *k, pid_t requester);
int upgrade_advance(Keeper *k);
int upgrade_on_check_exit(Keeper *k, const ProcessStatus *status);
void upgrade_done(Keeper *k);

/* The image that takes over: upgrade-resume.c. */
bool upgrade_is_check(int argc, char *argv[]);
int upgrade_check(int argc, char *argv[]);
int upgrade_go_on(Saved *s, char *argv[], char *envp[]);
int upgrade_resume(char *argv[], char *envp[], bool *ret_resumed);

/* scopemon upgrade: upgrade-verb.c. */
int upgrade_run_verb(int argc, char *argv[]);
