/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an OCI runtime knows: whether annotations become properties of the scope that it makes. */

#include <stdbool.h>
#include <stddef.h>

bool features_by_name(const char *runtime);
bool features_in_text(const char *text, size_t n);
bool features_ask(const char *runtime);
void features_version(const char *runtime, char *ret, size_t size);
