#define NAME L"UserOne"
#include "libraryuser.h"
