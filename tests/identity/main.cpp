#include "identity.hpp"

int main() { return weft::test::check_identity(); }
