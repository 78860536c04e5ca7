// Compiled alone: CANN's headers take the kernels.
#include "kernels.h"
