/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a worker could still do on this host, tried. */

typedef enum Proof {
        PROOF_OPEN = 1 << 0,     /* open a file */
        PROOF_SOCKET = 1 << 1,   /* make or connect a socket */
        PROOF_NAME = 1 << 2,     /* reach a socket by its path */
        PROOF_ABSTRACT = 1 << 3, /* likewise by an abstract name */
        PROOF_KILL = 1 << 4,     /* send a signal */
        PROOF_NONE = 1 << 5,     /* anything: it cannot be confined, and would not start */
} Proof;

int proof_try(unsigned *ret);
