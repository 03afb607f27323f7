/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON for programs to read: objects within an object, and an array of them. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct Json Json;

int json_new(Json **ret);
int json_new_array(Json **ret);
Json *json_free(Json *j);
DEFINE_CLEANUP(Json, json_free)

int json_set_text(Json *j, const char *path, const char *text);
int json_set_number(Json *j, const char *path, uint64_t number);
int json_set_bool(Json *j, const char *path, bool value);
int json_append_text(Json *j, const char *path, const char *text);
int json_append(Json *array, Json *element);

int json_read_number(const char *text, const char *key, uint64_t *ret);
const char *json_text(Json *j, bool pretty);
