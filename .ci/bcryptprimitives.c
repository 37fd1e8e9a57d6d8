// The one function of bcryptprimitives.dll without which no Go program
// starts, for old Wine, such as 8.0, which lacks the library. See the script
// wine.

#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n)
{
	while (n > 0) {
		ULONG part = n < 1 << 20 ? (ULONG)n : 1 << 20;
		if (!RtlGenRandom(data, part))
			return FALSE;
		data += part;
		n -= part;
	}
	return TRUE;
}
