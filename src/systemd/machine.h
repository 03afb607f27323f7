/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A container in the register of systemd-machined. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Bus Bus;
typedef struct BusTrouble BusTrouble;
typedef struct MachineQuestion MachineQuestion;

/* How it has not come to be, and what may be done about it */
#define MACHINE_FAILED 1
#define MACHINE_NO_SERVICE 2 /* there is no machined */
#define MACHINE_TAKEN 3      /* another one has the name */
#define MACHINE_BAD_NAME 4

#define MACHINE_ID_SIZE 16

typedef struct MachineSpec {
        const char *name;
        unsigned char id[MACHINE_ID_SIZE];
        bool has_id;
        pid_t leader;
        int leader_fd; /* its pidfd, -1 if there is none */
} MachineSpec;

/* @answer: 0, or one of those above with the words in @trouble. The question may be freed in here. */
typedef int (*MachineOnAnswer)(void *userdata, int answer, const BusTrouble *trouble);

int machine_register(MachineQuestion **ret,
                     Bus *bus,
                     const MachineSpec *spec,
                     MachineOnAnswer on_answer,
                     void *userdata);
int machine_unregister(MachineQuestion **ret,
                       Bus *bus,
                       const MachineSpec *spec,
                       MachineOnAnswer on_answer,
                       void *userdata);
void machine_question_hurry(MachineQuestion *q);
MachineQuestion *machine_question_free(MachineQuestion *q);
DEFINE_CLEANUP(MachineQuestion, machine_question_free)
bool machine_id(const char *cid, unsigned char ret[MACHINE_ID_SIZE]);
