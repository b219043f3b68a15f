#define NAME L"UserTwo"
#include "libraryuser.h"
