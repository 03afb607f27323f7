/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libsystemd, mapped when it is needed and not before. Whoever has mapped it keeps it: it cannot be unmapped again. It
 * takes four fifths of the instructions of a start, and more memory than a keeper and a worker together, so neither of
 * them maps it: what the manager is asked for is asked by a child that ends with its answer (systemd/manager.c), and
 * "scopemon explain", which ends too.
 *
 * So that packagers' tools see what is needed though no header of the program says so, a note does, in the form that
 * systemd has made up for it (https://systemd.io/ELF_DLOPEN_METADATA/).
 */

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "systemd/libsystemd.h"

#define NOTE_TYPE 0x407c0c0aU
#define NOTE_TEXT                                                                                            \
        "[{\"soname\":[\"" LIBSYSTEMD "\"],\"feature\":\"systemd\","                                         \
        "\"description\":\"Placement in the units of systemd, scopemon "                                     \
        "explain\",\"priority\":\"recommended\"}]"

__attribute__((used, section(".note.dlopen"))) _Alignas(uint32_t) static const struct {
        uint32_t n_name, n_text, type;
        char name[sizeof "FDO"];
        _Alignas(uint32_t) char text[sizeof NOTE_TEXT];
} note = { sizeof "FDO", sizeof NOTE_TEXT, NOTE_TYPE, "FDO", NOTE_TEXT };

/* In the order of Libsystemd. */
#define NAME(name) "sd_" #name "\0"
static const char names[] = LIBSYSTEMD_FUNCTIONS(NAME);
#undef NAME

/**
 * libsystemd_load_from() - libsystemd_load(), from a file of another name
 *
 * Return: likewise.
 */
int libsystemd_load_from(const char *file, Libsystemd *ret) {
        void *functions[sizeof *ret / sizeof(void *)], *library;
        const char *name = names;

        library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (!library) {
                log_debug("%s", dlerror());
                return fail(-ELIBACC);
        }
        for (size_t i = 0; i < ELEMENTS(functions); i++, name += strlen(name) + 1) {
                functions[i] = dlsym(library, name);
                if (!functions[i]) {
                        log_debug("%s", dlerror());
                        return fail(-ELIBBAD);
                }
        }
        memcpy(ret, functions, sizeof *ret);
        return 0;
}

/**
 * libsystemd_load() - map the library into this process, for the rest of its life
 *
 * Return: 0, or a negative errno: -ELIBACC if it is not there, -ELIBBAD if it lacks what we need.
 */
int libsystemd_load(Libsystemd *ret) {
        return libsystemd_load_from(LIBSYSTEMD, ret);
}
