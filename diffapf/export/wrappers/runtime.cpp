/* What a plugin needs of C++ beyond headers, for builds without the C++ library: see compilers.py. */
#include <cstddef>
#include <cstdlib>

void *operator new(std::size_t size) {
    void *memory = std::malloc(size ? size : 1);
    if (!memory) std::abort();
    return memory;
}

void *operator new[](std::size_t size) { return operator new(size); }
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void *memory) noexcept { std::free(memory); }
void operator delete[](void *memory, std::size_t) noexcept { std::free(memory); }

extern "C" void __cxa_pure_virtual() { std::abort(); }
