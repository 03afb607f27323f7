/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the kernel writes about cgroups, and what a cgroup's path tells.
 *
 * The texts come from the kernel, but names in them were chosen by whoever made the cgroups, the
 * container included: a line that is not understood is passed over, a number that does not fit is
 * not taken, and a path that climbs out of our cgroup name space is an answer of its own, since
 * nothing below our mount point belongs to it.
 *
 * Finding the unit follows systemd: the path runs through slices down to the first component that
 * is none, and that is the unit. If it is user@UID.service, the same begins again below it, for the
 * units of that user's manager. What comes after the unit is its own affair and never looked at: a
 * container may name its cgroups as it likes and must not be able to name a unit. systemd puts '_'
 * before a name the kernel could take for a file of its own.
 */

#include <string.h>

#include "wire/cgtext.h"

#define UNIT_NAME_MAX 255
#define CONTAINER_ID_MIN 12 /* hexadecimal digits: the shortest form that managers show */

typedef struct Part {
        const char *text;
        size_t n;
} Part;

/* Takes what lies before the next @separator, or the rest; false if nothing is left. */
static bool next_part(const char **p, const char *end, char separator, Part *ret) {
        const char *stop;

        if (*p == end)
                return false;
        stop = memchr(*p, separator, (size_t)(end - *p));
        *ret = (Part){ .text = *p, .n = (size_t)((stop ? stop : end) - *p) };
        *p = stop ? stop + 1 : end;
        return true;
}

static bool part_is(const Part *part, const char *text) {
        return part->n == strlen(text) && memcmp(part->text, text, part->n) == 0;
}

static bool part_ends(const Part *part, const char *suffix) {
        size_t n = strlen(suffix);

        return part->n > n && memcmp(part->text + part->n - n, suffix, n) == 0;
}

/* "ID:CONTROLLERS:PATH" */
typedef struct GroupLine {
        Part id;
        Part controllers;
        Part path;
} GroupLine;

static bool split_line(const Part *line, GroupLine *ret) {
        const char *p = line->text, *end = line->text + line->n;
        GroupLine l;

        if (!next_part(&p, end, ':', &l.id) || !next_part(&p, end, ':', &l.controllers))
                return false;
        l.path = (Part){ .text = p, .n = (size_t)(end - p) };
        if (l.path.n == 0 || l.path.text[0] != '/')
                return false;
        *ret = l;
        return true;
}

static int answer_path(const Part *path, const char **ret, size_t *ret_n) {
        const char *p = path->text;
        Part component;

        while (next_part(&p, path->text + path->n, '/', &component))
                if (part_is(&component, ".."))
                        return CGTEXT_OUTSIDE;
        *ret = path->text;
        *ret_n = path->n;
        return 0;
}

/**
 * cgtext_path() - the cgroup v2 path in the text of /proc/PID/cgroup
 * @ret: into @text, beginning with '/', not terminated; of a removed cgroup it ends in " (deleted)"
 *
 * Return: 0, CGTEXT_NONE if there is no such line, CGTEXT_OUTSIDE.
 */
int cgtext_path(const char *text, size_t n, const char **ret, size_t *ret_n) {
        const char *p = text;
        Part line;

        while (next_part(&p, text + n, '\n', &line)) {
                GroupLine l;

                if (split_line(&line, &l) && part_is(&l.id, "0") && l.controllers.n == 0)
                        return answer_path(&l.path, ret, ret_n);
        }
        return CGTEXT_NONE;
}

/**
 * cgtext_v1_path() - the path of one cgroup v1 hierarchy in the text of /proc/PID/cgroup
 * @controller: "memory", or "name=systemd" for a hierarchy without controllers
 * @ret: as with cgtext_path()
 *
 * Return: 0, CGTEXT_NONE if no hierarchy has this controller, CGTEXT_OUTSIDE.
 */
int cgtext_v1_path(const char *text, size_t n, const char *controller, const char **ret, size_t *ret_n) {
        const char *p = text;
        Part line;

        while (next_part(&p, text + n, '\n', &line)) {
                const char *c;
                GroupLine l;
                Part name;

                if (!split_line(&line, &l))
                        continue;
                c = l.controllers.text;
                while (next_part(&c, l.controllers.text + l.controllers.n, ',', &name))
                        if (part_is(&name, controller))
                                return answer_path(&l.path, ret, ret_n);
        }
        return CGTEXT_NONE;
}

static bool parse_number(const Part *part, uint64_t *ret) {
        uint64_t value = 0;

        if (part->n == 0)
                return false;
        for (size_t i = 0; i < part->n; i++) {
                unsigned digit = (unsigned)part->text[i] - '0';

                if (digit > 9 || value > (UINT64_MAX - digit) / 10)
                        return false;
                value = value * 10 + digit;
        }
        *ret = value;
        return true;
}

/**
 * cgtext_oom() - the two OOM counters in the text of memory.events, or of cgroup v1's
 * memory.oom_control
 * @ret: a counter the text does not have is 0
 *
 * Return: 0, CGTEXT_NONE if it has neither.
 */
int cgtext_oom(const char *text, size_t n, CgOom *ret) {
        int answer = CGTEXT_NONE;
        const char *p = text;
        CgOom oom = { 0 };
        Part line;

        while (next_part(&p, text + n, '\n', &line)) {
                const char *end = line.text + line.n, *q = line.text;
                Part name, number;
                uint64_t value;

                if (!next_part(&q, end, ' ', &name))
                        continue;
                number = (Part){ .text = q, .n = (size_t)(end - q) };
                if (!parse_number(&number, &value))
                        continue;
                if (part_is(&name, "oom"))
                        oom.oom = value;
                else if (part_is(&name, "oom_kill"))
                        oom.oom_kill = value;
                else
                        continue;
                answer = 0;
        }

        if (answer == 0)
                *ret = oom;
        return answer;
}

static bool is_unit_character(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != 0 && strchr(":-_.\\@", c));
}

static CgUnitKind unit_kind(const Part *name) {
        if (name->n > UNIT_NAME_MAX || name->text[0] == '@')
                return CG_UNIT_NONE;
        for (size_t i = 0; i < name->n; i++)
                if (!is_unit_character(name->text[i]))
                        return CG_UNIT_NONE;
        if (part_is(name, "init.scope"))
                return CG_UNIT_MANAGER;
        if (part_ends(name, ".scope"))
                return CG_UNIT_SCOPE;
        return part_ends(name, ".service") ? CG_UNIT_SERVICE : CG_UNIT_NONE;
}

static bool is_user_manager(const Part *name, uint32_t *ret_uid) {
        static const char prefix[] = "user@";
        const size_t n_prefix = sizeof prefix - 1, n_suffix = strlen(".service");
        uint64_t uid;
        Part digits;

        if (!part_ends(name, ".service") || name->n <= n_prefix + n_suffix ||
            memcmp(name->text, prefix, n_prefix) != 0)
                return false;
        digits = (Part){ .text = name->text + n_prefix, .n = name->n - n_prefix - n_suffix };
        if (!parse_number(&digits, &uid) || uid >= UINT32_MAX || (digits.text[0] == '0' && digits.n > 1))
                return false;
        *ret_uid = (uint32_t)uid;
        return true;
}

/* The first component from *p on that is no slice, escaping undone; *p is left behind it. */
static bool skip_slices(const char **p, Part *ret) {
        const char *end = *p + strlen(*p);
        Part part;

        while (next_part(p, end, '/', &part)) {
                if (part.n > 0 && part.text[0] == '_')
                        part = (Part){ .text = part.text + 1, .n = part.n - 1 };
                if (part.n == 0 || part_ends(&part, ".slice"))
                        continue;
                *ret = part;
                return true;
        }
        return false;
}

static bool cgtext_find_unit(const char *path, const char *from, CgUnit *ret, Part *ret_name) {
        const char *p = from;
        Part name;

        if (!skip_slices(&p, &name))
                return false;
        ret->kind = unit_kind(&name);
        if (ret->kind == CG_UNIT_NONE)
                return false;
        ret->name = name.text;
        ret->n_name = name.n;
        ret->n_path = (size_t)(name.text + name.n - path);
        *ret_name = name;
        return true;
}

/**
 * cgtext_unit() - the unit that a cgroup belongs to
 * @path: as cgtext_path() has it, terminated
 * @ret: with CG_UNIT_NONE nothing else in it means anything but @leaf, which is all of @path then
 *
 * user@UID.service with no unit below it is CG_UNIT_MANAGER with user and owner set, as is that
 * manager's init.scope.
 *
 * Return: 0, or CGTEXT_NONE with ret->kind being CG_UNIT_NONE.
 */
int cgtext_unit(const char *path, CgUnit *ret) {
        CgUnit unit = { .kind = CG_UNIT_NONE }, below = { .user = true };
        Part name;

        if (cgtext_find_unit(path, path, &unit, &name) && is_user_manager(&name, &below.owner)) {
                unit.kind = CG_UNIT_MANAGER;
                unit.user = true;
                unit.owner = below.owner;
                if (cgtext_find_unit(path, path + unit.n_path, &below, &name))
                        unit = below;
        }

        unit.leaf = path + unit.n_path;
        unit.n_leaf = strlen(unit.leaf);
        *ret = unit;
        return unit.kind == CG_UNIT_NONE ? CGTEXT_NONE : 0;
}

static bool is_container_id(const Part *id) {
        if (id->n < CONTAINER_ID_MIN)
                return false;
        for (size_t i = 0; i < id->n; i++)
                if (!(id->text[i] >= '0' && id->text[i] <= '9') &&
                    !(id->text[i] >= 'a' && id->text[i] <= 'f'))
                        return false;
        return true;
}

static bool find_container(const Part *part, CgContainer *ret) {
        static const struct {
                const char *prefix;
                bool monitor, service, scope;
        } names[] = { { .prefix = "libpod-conmon-", .monitor = true },
                      { .prefix = "crio-conmon-", .monitor = true },
                      { .prefix = "libpod-payload-scopemon-", .service = true },
                      { .prefix = "oci-", .service = true, .scope = true },
                      { .prefix = "libpod-payload-" },
                      { .prefix = "libpod-" },
                      { .prefix = "crio-" } };

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                size_t n = strlen(names[i].prefix);
                Part id = { .text = part->text + n, .n = part->n - n };

                if (part->n <= n || memcmp(part->text, names[i].prefix, n) != 0)
                        continue;
                if (part_ends(&id, ".scope"))
                        id.n -= strlen(".scope");
                else if (names[i].scope)
                        continue;
                if (names[i].service ? id.n == 0 : !is_container_id(&id))
                        continue;
                *ret = (CgContainer){
                        .id = id.text, .n_id = id.n, .monitor = names[i].monitor, .service = names[i].service
                };
                return true;
        }
        return false;
}

/**
 * cgtext_container() - the container that a cgroup is named after, by the names that Podman, CRI-O and we give
 * @path: as cgtext_path() has it, terminated
 *
 * Of containers within containers it is the outermost.
 *
 * Return: 0, or CGTEXT_NONE.
 */
int cgtext_container(const char *path, CgContainer *ret) {
        const char *p = path, *end = path + strlen(path);
        Part part;

        while (next_part(&p, end, '/', &part))
                if (find_container(&part, ret))
                        return 0;
        return CGTEXT_NONE;
}

/**
 * cgtext_is_below() - is @path the cgroup @parent or one below it?
 *
 * Slashes at the end of either mean nothing; "/" and "" are the root, which everything is below.
 */
bool cgtext_is_below(const char *path, const char *parent) {
        size_t n = strlen(parent);

        while (n > 0 && parent[n - 1] == '/')
                n--;
        return strncmp(path, parent, n) == 0 && (path[n] == 0 || path[n] == '/');
}
