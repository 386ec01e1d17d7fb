#include "models/image.h"
