/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a keeper has of an upgrade that is on its way: the image that hands on, and the one that takes over. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "event/event.h"
#include "keeper/keeper.h"
#include "upgrade/saved.h"

typedef enum UpgradeStep {
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

int upgrade_begin(Keeper *k, UpgradeStep step, const Saved *s);
