#include "exportuser.h"
