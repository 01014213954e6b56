export async function openMicrophone() {}
export async function playFile() {}
